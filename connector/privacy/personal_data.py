"""What each table stores about a customer: how to find their rows, and what an erasure does with them.

Every table of the database is listed, so that none is forgotten. Keys, numbers, amounts and dates are kept for
bookkeeping and for sending things once; names, addresses and free texts are erased.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, false, or_, select
from sqlmodel import Session, SQLModel, col

from connector.db.tables import CustomerRow, CustomerSetting, InvoiceRow, OutboxEntry
from connector.vocabulary import OutboxKind
from policies.recipients import OWN_PEOPLE

REDACTED = "(erased)"
_IN_MAX = 500


@dataclass(frozen=True, slots=True)
class TableRule:
    """How a table stores a customer's data.

    Attributes:
        key_column: the column with the key of the customer or of their invoice; "" if no column has one.
        redact: the columns to overwrite, each with its new value.
        delete_row: whether the whole row is deleted.
        reason: why a table without ``key_column`` has no rule here.

    """

    key_column: str = ""
    redact: Mapping[str, object] = field(default_factory=dict)
    delete_row: bool = False
    reason: str = ""


_NOT_CUSTOMER_DATA = TableRule(reason="about this installation and its users, not about customers")
_SPECIAL = TableRule(reason="erased by its own code: see erase.py")
RULES: dict[str, TableRule] = {
    "customer": TableRule(
        "external_id",
        dict.fromkeys(("name", "contact_name", "emails", "region", "language", "groups", "phones", "contacts"), ""),
    ),
    "customer_setting": TableRule(
        "customer_id",
        dict.fromkeys(("emails", "stopped_emails", "contact_name", "phone", "language", "tags"), "")
        | dict.fromkeys(("second_contact", "suppression_reason"), ""),
    ),
    "erased_customer": TableRule("customer_id"),
    "invoice": TableRule("customer_id", {"lines": "[]"} | dict.fromkeys(("emails", "cc_emails", "bcc_emails"), "")),
    "invoice_setting": TableRule("invoice_id", {"dispute_reason": ""}),
    "invoice_pdf": TableRule("invoice_id", delete_row=True),
    "agreement": TableRule("customer_id", {"reason": "", "outcome": ""}),
    "payment": TableRule("customer_id"),
    "credit": TableRule("customer_id"),
    "application": TableRule("invoice_id"),
    "bank_receipt": TableRule("customer_id", dict.fromkeys(("payer", "payer_account", "reference", "text"), "")),
    "bank_match": TableRule("customer_id", {"payer": ""}),
    "bank_payer": TableRule("customer_id", delete_row=True),
    "bank_file": TableRule(reason="the name of a file, its days and counts; its content is not kept"),
    "bank_csv_mapping": TableRule(reason="which column means what, nothing of what stands in them"),
    "former_applications": TableRule("invoice_id"),
    "invoice_decision": TableRule("customer_id", {"reason": REDACTED}),
    "decision_record": TableRule("customer_id", delete_row=True),
    "outbox": TableRule("customer_id", {"reason": REDACTED, "response": "", "custom_text": None}),
    "completed_step": TableRule("customer_id"),
    "task": TableRule("customer_id", {"reason": REDACTED, "outcome": ""}),
    "exception": TableRule("customer_id", delete_row=True),
    "contact_token": TableRule("customer_id"),
    "portal_response": TableRule("customer_id", delete_row=True),
    "portal_file": TableRule("customer_id", delete_row=True),
    "received_reply": TableRule("customer_id"),
    "sync_log": _SPECIAL,
    "malformed_record": _SPECIAL,
    "key_value": _SPECIAL,
    "suppressed_address": _SPECIAL,
    "email_event": _SPECIAL,
    "sent_email": _SPECIAL,
    "api_request": _SPECIAL,
    "policy_version": TableRule(reason="can name a customer: reported, and only a user can change a policy"),
    "write_off": TableRule(reason="only the ids of payments"),
    "unseen_record": TableRule(reason="only keys, while a ledger is resynced completely"),
    "webhook_event": TableRule(reason="only keys, until the next sync"),
    "webhook_delivery": TableRule(reason="refers to a log entry, whose text is erased"),
    **dict.fromkeys(
        (
            "grant_token",
            "connected_mailbox",
            "connection",
            "pending_consent",
            "sync_run",
            "budget",
            "email_template",
            "bank_details",
            "brand",
            "daily_digest",
            "app_user",
            "user_company",
            "web_session",
            "passkey",
            "used_challenge",
            "sign_in_link",
            "sign_in_attempt",
            "api_token",
            "webhook_endpoint",
        ),
        _NOT_CUSTOMER_DATA,
    ),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A customer and everything that identifies them; ``ids`` includes customers that were merged into this one."""

    connection_id: int
    customer_id: str
    ids: tuple[str, ...]
    invoices: tuple[str, ...]
    names: tuple[str, ...]
    addresses: tuple[str, ...]

    def is_named_in(self, text: str, *, include_names: bool = True) -> bool:
        """Return whether a text contains one of the addresses or, as whole words, one of the names."""
        low = text.lower()
        if any(each in low for each in self.addresses):
            return True
        return include_names and any(re.search(rf"(?<!\w){re.escape(each)}(?!\w)", low) for each in self.names)


def _find_merged(session: Session, customer: CustomerRow) -> list[str]:
    """Return the customers that were merged into one, directly or into one that was."""
    query = select(col(CustomerRow.external_id), col(CustomerRow.merged_into)).where(
        col(CustomerRow.connection_id) == customer.connection_id, col(CustomerRow.merged_into).is_not(None)
    )
    merged, found = dict(session.execute(query).all()), [customer.external_id]
    for survivor in found:
        found += sorted(each for each, into in merged.items() if into == survivor and each not in found)
    return found[1:]


def find_subject(session: Session, customer: CustomerRow) -> Subject:
    """Collect a customer's keys, names and addresses, including those set by users and those emails were sent to."""
    here, names, addresses = customer.connection_id, set[str](), set[str]()
    ids = (customer.external_id, *_find_merged(session, customer))
    for each in ids:
        row, setting = session.get(CustomerRow, (here, each)), session.get(CustomerSetting, (here, each))
        contacts = {row.contact_name if row else "", setting.contact_name if setting else ""}
        name, _angle, second = (setting.second_contact if setting else "").rpartition("<")
        contacts.add(name.strip())
        addresses.add(second.rstrip(">"))
        names |= {each for each in contacts if " " in each.strip()}  # a first name alone could be a colleague's
        names |= {row.name} if row else set()
        for person in row.contacts.splitlines() if row else ():
            name, _angle, address = person.partition(" <")
            names |= {name} if " " in name else set()
            addresses.add(address.rstrip(">") or name)
        addresses |= set(f"{row.emails if row else ''},{setting.emails if setting else ''}".split(","))
    mine = col(OutboxEntry.connection_id) == here, col(OutboxEntry.customer_id).in_(ids)
    for payload in session.scalars(select(col(OutboxEntry.payload)).where(*mine)):
        roles = payload.get("roles", {})
        sent_to = {each for name in ("to", "cc", "bcc") for each in payload.get(name, [])}
        addresses |= {each for each in sent_to if roles.get(each) not in OWN_PEOPLE}
    mine = col(InvoiceRow.connection_id) == here, col(InvoiceRow.customer_id).in_(ids)
    for emails in session.execute(
        select(col(InvoiceRow.emails), col(InvoiceRow.cc_emails), col(InvoiceRow.bcc_emails)).where(*mine).distinct()
    ):
        addresses |= {address for each in emails for address in each.split(",")}
    return Subject(
        connection_id=here,
        customer_id=customer.external_id,
        ids=ids,
        invoices=tuple(session.scalars(select(col(InvoiceRow.external_id)).where(*mine))),
        names=tuple(sorted({each.strip().lower() for each in names if len(each.strip()) > 2})),
        addresses=tuple(sorted({each.strip().lower() for each in addresses if "@" in each})),
    )


def find_rows(session: Session, subject: Subject, name: str) -> Iterator[Row[Any]]:
    """Yield the customer's rows of a table with a key column."""
    table, rule = SQLModel.metadata.tables[name], RULES[name]
    for condition in row_conditions(table, rule, subject):
        yield from session.execute(select(table).where(condition).order_by(*table.primary_key.columns))


def find_owner_digests(session: Session, subject: Subject) -> list[OutboxEntry]:
    """Return the account-owner alerts that name the customer, among others: no column says whom they are about."""
    here = col(OutboxEntry.connection_id) == subject.connection_id, col(OutboxEntry.kind) == OutboxKind.OWNER_EMAIL
    rows = session.scalars(select(OutboxEntry).where(*here).order_by(col(OutboxEntry.id)))
    return [row for row in rows if any(each["customer"] in subject.ids for each in row.payload.get("items", []))]


def row_conditions(table: Table, rule: TableRule, subject: Subject) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that select the customer's rows, for some keys at a time."""
    keys: Sequence[str] = subject.invoices if rule.key_column == "invoice_id" else subject.ids
    for start in range(0, len(keys), _IN_MAX):
        yield (table.c.connection_id == subject.connection_id) & table.c[rule.key_column].in_(
            keys[start : start + _IN_MAX]
        )


def find_log_lines(session: Session, subject: Subject) -> list[Row[Any]]:
    """Return the log entries about the customer, and those that name them without being about another customer."""
    log = SQLModel.metadata.tables["sync_log"]
    here = select(log).where(log.c.connection_id == subject.connection_id)
    found = {row.id: row for row in session.execute(here.where(log.c.customer_id.in_(subject.ids)))}
    for start in range(0, len(subject.invoices), _IN_MAX):
        some = log.c.invoice_id.in_(subject.invoices[start : start + _IN_MAX])
        found |= {row.id: row for row in session.execute(here.where(some))}
    named = [log.c.text.icontains(each, autoescape=True) for each in (*subject.names, *subject.addresses)]
    for row in session.execute(here.where(or_(false(), *named))):
        if subject.is_named_in(row.text, include_names=not row.customer_id):
            found[row.id] = row
    return [found[each] for each in sorted(found)]
