"""The unguessable part of a stop link or a reply address: it stands for one customer of one company.

A token is a signature, so nobody without our key can make one, and the same customer always gets the same. It is kept
as well: so it is found again, and still good after the key was changed.
"""

from __future__ import annotations

import base64

from sqlmodel import Session

from connector.installation import Installation
from connector.tables import Connection, ContactToken, CustomerRow

STOP, REPLY = "stop", "reply"
_BYTES = 20  # 32 letters and digits: safe in a mail address, where upper and lower case may be lost
LENGTH = 32
_MERGES_MAX = 10


def token_for(installation: Installation, session: Session, connection_id: int, customer_id: str, purpose: str) -> str:
    """Give the customer's token, in the caller's transaction."""
    connection = session.get_one(Connection, connection_id)
    about = f"{purpose}:{connection.provider}:{connection.external_id}:{customer_id}"
    token = base64.b32encode(installation.keyring.signature(about)[:_BYTES]).decode().lower()
    if session.get(ContactToken, token) is None:
        row = ContactToken(
            token=token,
            connection_id=connection_id,
            customer_id=customer_id,
            purpose=purpose,
            made_at=installation.now(),
        )
        session.add(row)
    return token


def customer_of(session: Session, token: str, purpose: str) -> CustomerRow | None:
    """Find whose token it is; a customer that was merged away is the one he became. None for a stranger's guess."""
    row = session.get(ContactToken, token.lower()) if len(token) == LENGTH and token.isascii() else None
    if row is None or row.purpose != purpose:
        return None
    customer = session.get(CustomerRow, (row.connection_id, row.customer_id))
    for _merge in range(_MERGES_MAX):
        if customer is None or not customer.merged_into:
            break
        customer = session.get(CustomerRow, (row.connection_id, customer.merged_into))
    return customer
