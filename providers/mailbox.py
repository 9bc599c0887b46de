"""The mailbox port: a person's own mailbox, connected by OAuth, which sends emails and is read for what answers them.

A provider is a folder ``providers/<name>/`` whose ``__init__`` exports ``MAILBOX``, a ``MailboxProvider``. Whoever owns
the mailbox has private email in it: list only what is needed to know whether a message answers one of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from providers.calls import CallObserver
from providers.mailer import Mailer
from providers.sign_in import AccessToken, JsonObject, Settings_contra, SignIn


class Arrival(NamedTuple):
    """A message that came in, before it is read.

    ``id`` is the service's, to read it. ``references`` are the Message-IDs that it names in ``In-Reply-To`` and
    ``References``, in angle brackets. ``may_be_report`` is true where it may be a delivery report, which often names
    the email it is about inside only. ``thread_id`` is the service's id of the conversation, "" where it has none.
    """

    id: str
    received_at: datetime
    sender: str
    references: tuple[str, ...] = ()
    may_be_report: bool = False
    thread_id: str = ""


class ArrivalPage(NamedTuple):
    """Some arrivals, and the position after them, as opaque text, to store once they are dealt with.

    ``restarted`` is true where the service no longer knew the position that was given, and lists again what came in
    since ``since_at``.
    """

    arrivals: list[Arrival]
    cursor: str
    restarted: bool = False


class Mailbox(Mailer, Protocol):
    """One mailbox: a mailer whose incoming messages can be read."""

    def may_send_as(self, sender: str) -> bool | None:
        """Return whether the mailbox may send from this address; None where its service does not say."""
        ...

    def list_arrivals(self, cursor: str, since_at: datetime) -> Iterator[ArrivalPage]:
        """Yield what came into the inbox after ``cursor``, page by page.

        With "" as cursor, and where the service no longer knows the cursor, it begins with what came in since
        ``since_at``. A message may be listed more than once.
        """
        ...

    def read_arrival(self, arrival_id: str) -> bytes | None:
        """Return the whole message as RFC 5322 has it; None where it is no longer there."""
        ...


@dataclass(frozen=True, slots=True)
class MailboxConsent:
    """A given consent: the token as issued, ``subject`` for the user, and the mailbox's address."""

    token: JsonObject
    subject: str
    address: str


@runtime_checkable
class MailboxProvider(SignIn[Settings_contra, MailboxConsent], Protocol[Settings_contra]):
    """What a provider exports as ``MAILBOX``: sign-in, tokens and mailboxes, from the settings that it names."""

    def revoke(self, settings: Settings_contra, token: JsonObject, calls: CallObserver) -> str:
        """End the access; where the service has no way to, return how the user does it there, else ""."""
        ...

    def is_same_account(
        self, settings: Settings_contra, token: JsonObject, consent: MailboxConsent, calls: CallObserver
    ) -> bool:
        """Return whether an older token is of the account that gave this consent, which may have been renamed.

        To revoke it would then end the new access as well.
        """
        ...

    def open_mailbox(
        self, settings: Settings_contra, address: str, access_token: AccessToken, calls: CallObserver
    ) -> Mailbox:
        """Build the client of one mailbox; nothing is called yet."""
        ...
