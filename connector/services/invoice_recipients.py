"""Who gets the emails about an invoice, in which field, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from connector.results import Result
from connector.vocabulary.labels import in_sentence, label
from policies.policy import ReminderPolicy
from policies.receivables import Statement
from policies.recipients import RecipientRole, Recipients, recipients_of


class RecipientItem(Result):
    """An address that gets an email: in which field (to, cc or bcc), and why."""

    address: str
    field: str
    reason: str


def list_recipients(
    statements: Iterable[Statement], invoice_id: str, policy: ReminderPolicy, today: date
) -> list[RecipientItem]:
    """Return who gets the emails about an invoice; a second contact with the step from which they do."""
    for statement in statements:
        for invoice in statement.invoices:
            if invoice.id == invoice_id:
                rules = policy.policy_for(statement.customer, today).copies
                first = rules.second_contact_from
                escalated = f", from the step {in_sentence(label(first, 'step'))} on" if first else ""
                return _items(recipients_of(statement.customer, [invoice], first, rules), escalated)
    return []


def _items(recipients: Recipients, escalated: str) -> list[RecipientItem]:
    roles = dict(recipients.roles)
    fields: Sequence[tuple[str, Sequence[str]]] = (
        ("to", recipients.to),
        ("cc", recipients.cc),
        ("bcc", recipients.bcc),
    )
    return [
        RecipientItem(address=each, field=field, reason=_reason(roles[each], escalated))
        for field, addresses in fields
        for each in addresses
    ]


def _reason(role: RecipientRole, escalated: str) -> str:
    return label(role, "recipient_role") + (escalated if role is RecipientRole.SECOND_CONTACT else "")
