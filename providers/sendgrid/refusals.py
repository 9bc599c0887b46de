"""What SendGrid's drops are about: the address, or the sender. For bounces, see ``providers/delivery_events.py``.

The reasons are those of SendGrid's own documents; README.md has them as a table, which a test reads.
"""

from __future__ import annotations

from typing import Final

from providers.mailer import RefusalCause

_DROPS_BY_REASON: Final = {  # by the beginning of the reason
    "bounced address": RefusalCause.ADDRESS,
    "spam reporting address": RefusalCause.ADDRESS,
    "unsubscribed address": RefusalCause.ADDRESS,
    "invalid smtpapi header": RefusalCause.SENDER,
    "spam content": RefusalCause.SENDER,
    "recipient list over package quota": RefusalCause.SENDER,
}
_INVALID_ADDRESS: Final = "invalid"  # the whole reason: "Invalid SMTPAPI header" is not about the address


def drop_cause(reason: str) -> RefusalCause:
    """Return what a ``dropped`` event is about; an unknown reason does not condemn the address."""
    text = reason.strip().casefold()
    if text == _INVALID_ADDRESS:
        return RefusalCause.ADDRESS
    return next((cause for start, cause in _DROPS_BY_REASON.items() if text.startswith(start)), RefusalCause.SENDER)
