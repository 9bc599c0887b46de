"""Account owners and sales reps of customers, and the default account owner of a company."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.tables import Connection, CustomerSetting
from connector.vocabulary import LogKind

_MAILBOX = re.compile(r"\s*(?:(?P<name>[^<>\r\n]*?)\s*<)?(?P<email>[^\s<>,;@]+@[^\s<>,;@]+\.[^\s<>,;@]+)>?\s*")


class InvalidMailboxError(Exception):
    """A text is no name and email address; the message says how to write them."""


@dataclass(frozen=True, slots=True)
class Team:
    """The owners and sales reps of one company's customers, as texts like ``Ann Lee <ann@example.com>``."""

    default_owner: str
    owners: dict[str, str]
    sales_reps: dict[str, str]

    def owner_of(self, customer_id: str) -> str:
        """Return the account owner of a customer: their own, else the company's default, else ""."""
        return self.owners.get(customer_id) or self.default_owner


def load_team(session: Session, connection: Connection) -> Team:
    """Load the account owners and sales reps of a company's customers."""
    query = select(col(CustomerSetting.customer_id), col(CustomerSetting.owner), col(CustomerSetting.sales_rep)).where(
        col(CustomerSetting.connection_id) == connection.id,
        or_(col(CustomerSetting.owner) != "", col(CustomerSetting.sales_rep) != ""),
    )
    rows = session.execute(query).all()
    return Team(
        connection.owner,
        {customer_id: owner for customer_id, owner, _ in rows if owner},
        {customer_id: rep for customer_id, _, rep in rows if rep},
    )


def set_default_owner(app: AppContext, connection_id: int, owner: str, *, by: str) -> str:
    """Set the default account owner of a company ("" for none); return the company's name."""
    owner = normalise_mailbox(owner) if owner else ""
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        row.owner = owner
        text = f"{by} set the default account owner of {row.name} to {owner or 'nobody'}."
        sync_log.write(session, at=app.now(), kind=LogKind.DEFAULT_OWNER, text=text, connection_id=connection_id)
        return row.name


def normalise_mailbox(text: str) -> str:
    """Return "Ann Lee <ann@example.com>", or an address alone, in one spelling.

    Raises:
        InvalidMailboxError: the text is neither.

    """
    match = _MAILBOX.fullmatch(text)
    if match is None or (match["name"] is None) != ("<" not in text):
        message = f"{text!r} is not an email address; write 'Ann Lee <ann@example.com>'."
        raise InvalidMailboxError(message)
    return f"{match['name']} <{match['email']}>" if match["name"] else match["email"]


def split_mailbox(text: str) -> tuple[str, str]:
    """Split "Ann Lee <ann@example.com>" into name and address; a name may contain a comma ("Lee, Ann")."""
    match = _MAILBOX.fullmatch(text)
    return (match["name"] or "", match["email"]) if match else ("", "")
