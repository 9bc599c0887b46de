"""Turns a decided reminder into a mail: personal, short, what is owed, since when, how to pay, whom to ask.

``compose`` is pure: facts in, ``Mail`` out. Which invoices, which step and which warnings is decided before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from connector.emails import layout
from connector.emails.outbound.email_facts import EmailFacts, FeeWarning, InvoiceLine, PaidLine
from connector.emails.outbound.template_values import INTERNAL_STEPS, EmailTexts
from connector.languages import language_of, replace_nbsp
from connector.plain_text import one_line, safe_link
from policies.receivables import Step
from providers.mailer import Email

__all__ = [
    "EMAIL_STEPS",
    "TONES",
    "EmailError",
    "EmailFacts",
    "FeeWarning",
    "InvoiceLine",
    "PaidLine",
    "compose_email",
    "compose_lines",
    "message_id",
]

TONES = ("gentle", "standard", "firm")
EMAIL_STEPS = (
    Step.RECEIPT_CHECK,
    Step.DISCOUNT_ENDING,
    Step.BEFORE_DUE,
    Step.DUE_TODAY,
    Step.PAST_DUE,
    Step.SECOND_NOTICE,
    Step.PLAN_OFFER,
    Step.FINAL_NOTICE,
    Step.PROMISE_BROKEN,
    Step.THANK_YOU,
    Step.NOTIFY_OWNER,
)
REFERENCES_MAX = 10  # references kept: mail programs need the first and the last few


class EmailError(Exception):
    """These facts make no mail; ``str()`` says what is missing."""


def compose_email(facts: EmailFacts) -> Email:
    """Write the mail, text and HTML. Raises ``MailError`` where a fact is missing that the step must name."""
    filled = _fill(facts, EmailTexts.layout_values)
    return Email(
        key=facts.key,
        attempt=facts.attempt,
        to=tuple(facts.to),
        to_name=one_line(facts.contact_name or facts.customer_name),
        sender=facts.sender,
        sender_name=one_line(facts.sender_name or facts.company_name),
        reply_to=facts.tracked_reply_to or facts.reply_to or facts.sender,
        subject=one_line(filled["subject"]),
        text=replace_nbsp(layout.render_layout("layout.txt", filled)),
        html=layout.render_layout("layout.html", filled),
        category=f"reminder-{facts.step}",
        headers=_headers(facts),
        attachments=(*facts.attachments, *filter(None, [facts.statement])),
    )


def compose_lines(facts: EmailFacts) -> dict[str, str]:
    """Write only the lines that a person may change in this one mail; raises ``MailError`` like ``compose``."""
    return {name: text.strip() for name, text in _fill(facts, EmailTexts.step_lines).items()}


def _fill(facts: EmailFacts, fill: Callable[[EmailTexts], dict[str, Any]]) -> dict[str, Any]:
    _check_facts(facts)
    try:
        return fill(EmailTexts(facts, language_of(facts.language)))
    except layout.RenderError as error:
        raise EmailError(f"The words of {facts.step} cannot be filled: {error}") from error


def message_id(key: str, domain: str) -> str:
    """Make the Message-ID of an outbox key: always the same, and it tells a stranger nothing."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"


def _headers(facts: EmailFacts) -> tuple[tuple[str, str], ...]:
    domain = facts.message_domain or facts.sender.rpartition("@")[2]
    headers = [
        ("Message-ID", message_id(facts.key, domain)),
        ("Auto-Submitted", "auto-generated"),  # so that no out-of-office answers it (RFC 3834)
        ("X-Auto-Response-Suppress", "All"),
    ]
    earlier = [message_id(key, domain) for key in facts.earlier_keys]
    if earlier:
        kept = earlier[:1] + earlier[1:][-REFERENCES_MAX:]
        headers += [("In-Reply-To", earlier[-1]), ("References", " ".join(kept))]
    if facts.stop_link and facts.step not in INTERNAL_STEPS:
        headers += [
            ("List-Unsubscribe", f"<{facts.stop_link}>"),  # one line: folded, it has broken signatures
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ]
    return tuple(headers)


def _check_facts(facts: EmailFacts) -> None:
    """Refuse facts that would make a mail that is wrong or that nobody gets."""
    if facts.step not in EMAIL_STEPS:
        raise EmailError(f"The step {facts.step} is not a mail.")
    if facts.tone not in TONES:
        raise EmailError(f"There is no tone {facts.tone!r}; there are {', '.join(TONES)}.")
    if not facts.to:
        raise EmailError(f"There is no address for {one_line(facts.customer_name)}.")
    for address in (*facts.to, facts.sender, *filter(None, [facts.reply_to, facts.tracked_reply_to])):
        if "@" not in address or address != one_line(address, len(address)) or " " in address:
            raise EmailError(f"{one_line(address)!r} is not a mail address.")
    for name, link in (("that stops reminders", facts.stop_link), ("to the customer's page", facts.portal_link)):
        if link and not safe_link(link):
            raise EmailError(f"The link {name} is not a plain https address.")
    missing = _missing_fact(facts)
    if missing:
        raise EmailError(f"A {facts.step} mail needs {missing}.")


def _missing_fact(facts: EmailFacts) -> str:
    if facts.step is Step.THANK_YOU:
        return "" if facts.paid else "the invoices that were paid"
    if not facts.invoices:
        return "at least one invoice"
    if facts.step is Step.DISCOUNT_ENDING and facts.discount is None:
        return "the discount and its last day"
    if facts.step is Step.FINAL_NOTICE and facts.suspension_on is None:
        return "the day it names"
    if facts.step is Step.PROMISE_BROKEN and facts.promised_on is None:
        return "the day that was promised"
    unknown = set(facts.about) - {line.number for line in facts.invoices}
    if unknown:
        return f"the invoices {', '.join(sorted(unknown))} among those it lists"
    about = [line for line in facts.invoices if line.number in facts.about or not facts.about]
    return "" if any(line.due_on for line in about) else "a due date"
