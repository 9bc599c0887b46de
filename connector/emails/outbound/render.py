"""Turn the facts of one email into the email itself, plain text and HTML.

``compose_email`` is pure. Which invoices, which step and which warnings an email has is decided before.
"""

from __future__ import annotations

from connector.bank_details.code_image import draw_code
from connector.emails.layout import RenderError, render_html, render_text
from connector.emails.message_ids import message_id
from connector.emails.outbound.email_facts import EmailFacts, FeeKind, FeeWarning, InvoiceLine, PaidLine
from connector.emails.outbound.email_look import brand_images
from connector.emails.outbound.template_values import INTERNAL_STEPS, EmailTexts
from connector.languages import language_of, replace_nbsp
from connector.plain_text import one_line, safe_link
from policies.receivables import Step
from providers.mailer import Email, InlineImage

__all__ = [
    "EMAIL_STEPS",
    "TONES",
    "EmailError",
    "EmailFacts",
    "FeeKind",
    "FeeWarning",
    "InvoiceLine",
    "PaidLine",
    "compose_email",
    "compose_lines",
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
    Step.WITHHOLDING_CERTIFICATE,
    Step.PAYMENT_RETURNED,
    Step.THANK_YOU,
    Step.NOTIFY_OWNER,
)
REFERENCES_MAX = 10  # beside the first: email programs need the first and the last few to build a thread


class EmailError(Exception):
    """The facts are not enough for an email; ``str()`` says what is missing."""


def compose_email(facts: EmailFacts) -> Email:
    """Compose the email. Raises ``EmailError`` where a fact is missing that the step has to state."""
    texts = _checked_texts(facts)
    try:
        values = texts.layout_values()
    except RenderError as error:
        raise _unfillable(facts, error) from error
    return Email(
        key=facts.key,
        attempt=facts.attempt,
        to=tuple(facts.to),
        cc=tuple(facts.cc),
        bcc=tuple(facts.bcc),
        to_name=one_line(facts.contact_name or facts.customer_name),
        sender=facts.sender,
        sender_name=one_line(facts.sender_name or facts.company_name),
        reply_to=facts.tracked_reply_to or facts.reply_to or facts.sender,
        subject=one_line(values.subject),
        text=replace_nbsp(render_text(values)),
        html=render_html(values),
        category=f"reminder-{facts.step}",
        headers=_headers(facts),
        attachments=(*facts.attachments, *filter(None, [facts.statement])),
        track_opens=facts.track_opens and facts.step not in INTERNAL_STEPS,
        track_clicks=facts.track_clicks and facts.step not in INTERNAL_STEPS,
        inline=(*brand_images(facts), *facts.inline, *_code_image(texts)),
    )


def _code_image(texts: EmailTexts) -> tuple[InlineImage, ...]:
    """Return the payment code, which travels in the email; nothing where there is none."""
    code = draw_code(texts.transfer) if texts.transfer is not None else b""
    return (InlineImage(texts.code_image_id, "payment-code.png", "image/png", code),) if code else ()


def compose_lines(facts: EmailFacts) -> dict[str, str]:
    """Compose only the lines that a user may edit for this one email. Raises ``EmailError`` like ``compose_email``."""
    texts = _checked_texts(facts)
    try:
        return {name: text.strip() for name, text in texts.step_lines().items()}
    except RenderError as error:
        raise _unfillable(facts, error) from error


def _checked_texts(facts: EmailFacts) -> EmailTexts:
    _check_facts(facts)
    try:
        return EmailTexts(facts, language_of(facts.language))
    except RenderError as error:
        raise _unfillable(facts, error) from error


def _unfillable(facts: EmailFacts, error: RenderError) -> EmailError:
    return EmailError(f"The text of {facts.step} cannot be filled: {error}")


def _headers(facts: EmailFacts) -> tuple[tuple[str, str], ...]:
    domain = facts.message_domain or facts.sender.rpartition("@")[2]
    headers = [
        ("Message-ID", message_id(facts.key, domain)),
        ("Auto-Submitted", "auto-generated"),  # so that out-of-office assistants do not answer (RFC 3834)
        ("X-Auto-Response-Suppress", "All"),
    ]
    earlier = [facts.given_ids.get(key) or message_id(key, domain) for key in facts.earlier_keys]
    if earlier:
        references = earlier[:1] + earlier[1:][-REFERENCES_MAX:]
        headers += [("In-Reply-To", earlier[-1]), ("References", " ".join(references))]
    if facts.stop_link and facts.step not in INTERNAL_STEPS:
        headers.append(("List-Unsubscribe", f"<{facts.stop_link}>"))  # on one line: folding it has broken signatures
        if len({*facts.to, *facts.cc, *facts.bcc}) == 1:  # one click has to say whose it is (RFC 8058, 3.1)
            headers.append(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    return tuple(headers)


def _check_facts(facts: EmailFacts) -> None:
    """Raise ``EmailError`` for facts that would make a wrong email, or one that reaches nobody."""
    if facts.step not in EMAIL_STEPS:
        raise EmailError(f"The step {facts.step} is not an email.")
    if facts.tone not in TONES:
        raise EmailError(f"There is no tone {facts.tone!r}; choose one of {', '.join(TONES)}.")
    if not facts.to:
        raise EmailError(f"There is no email address for {one_line(facts.customer_name)}.")
    for address in (
        *facts.to,
        *facts.cc,
        *facts.bcc,
        facts.sender,
        *filter(None, [facts.reply_to, facts.tracked_reply_to]),
    ):
        if "@" not in address or address != one_line(address, len(address)) or " " in address:
            raise EmailError(f"{one_line(address)!r} is not an email address.")
    for name, link in (("that stops reminders", facts.stop_link), ("to the customer portal", facts.portal_link)):
        if link and not safe_link(link):
            raise EmailError(f"The link {name} is not a plain https address.")
    missing = _missing_fact(facts)
    if missing:
        raise EmailError(f"The email {facts.step} needs {missing}.")


def _missing_fact(facts: EmailFacts) -> str:
    if facts.step is Step.THANK_YOU:
        return "" if facts.paid else "the invoices that were paid"
    if not facts.invoices:
        return "at least one invoice"
    if facts.step is Step.DISCOUNT_ENDING and facts.discount is None:
        return "the discount and its last day"
    if facts.step is Step.FINAL_NOTICE and facts.suspension_on is None:
        return "the date from which deliveries are suspended"
    if facts.step is Step.PROMISE_BROKEN and facts.promised_on is None:
        return "the date that was promised"
    if facts.step is Step.PAYMENT_RETURNED and facts.thanked_on is None:
        return "the date on which the customer was thanked for the payment"
    unknown = set(facts.about) - {line.key for line in facts.invoices}
    if unknown:
        return f"the invoices {', '.join(sorted(unknown))} among those it lists"
    about = [line for line in facts.invoices if line.key in facts.about or not facts.about]
    return "" if any(line.due_on for line in about) else "a due date"
