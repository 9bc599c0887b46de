"""What holds for every email: it states what is due and how to pay, is accessible, and no name can change it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from itertools import product

import pytest

from connector.emails.message_ids import message_id
from connector.emails.outbound.render import (
    EMAIL_STEPS,
    TONES,
    EmailError,
    EmailFacts,
    FeeKind,
    FeeWarning,
    InvoiceLine,
    PaidLine,
    compose_email,
)
from connector.emails.outbound.template_values import EmailTexts
from connector.languages import LANGUAGES, language_of
from policies.receivables import Step
from providers.mailer import Attachment, Email

FactsFor = Callable[..., EmailFacts]
OTHER_STEPS = {Step.WITHHOLDING_CERTIFICATE}  # asks for no money
REMINDER_STEPS = [step for step in EMAIL_STEPS if step not in {Step.THANK_YOU, Step.NOTIFY_OWNER, *OTHER_STEPS}]
HOSTILE_NAME = (
    "Evil\r\nBcc: all@example.com <script>alert(1)</script> {{ 7 * 7 }} {% for x in y %} "
    "\u202egnp.exe\u2066 \x00\ud800 &amp; <mj-raw>"
)


class EmailParser(HTMLParser):
    """Parses an email into its elements with their attributes, and the text that people see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text_by_tag: dict[str, str] = {}
        self.open_tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.open_tags.append(tag)
        if tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        while self.open_tags and self.open_tags.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in set(self.open_tags):
            self.text_by_tag[tag] = self.text_by_tag.get(tag, "") + data

    def find_all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def visible_text(self) -> str:
        return " ".join(self.text_by_tag.get("body", "").split())


def every_email(facts_for: FactsFor) -> Iterator[Email]:
    for language, tone, step in product(LANGUAGES, TONES, EMAIL_STEPS):
        yield compose_email(facts_for(step, language=language, tone=tone))


def facts_amount(facts: EmailFacts) -> str:
    return f"€{sum(line.to_pay for line in facts.invoices if line.key in facts.about):,.2f}"


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("step", REMINDER_STEPS)
def test_a_reminder_states_what_is_due_how_to_pay_and_whom_to_ask(step: Step, facts_for: FactsFor) -> None:
    facts = facts_for(step)
    email, about = compose_email(facts), facts.about[0]
    for shown in (one_line(email.text), EmailParser(email.html).visible_text()):
        assert about in shown
        assert f"Pay invoice {about}" in shown or f"Pay {facts_amount(facts)}" in shown
        assert "Hello Maria Blue," in shown
        assert "Anna Berg" in shown
        assert "anna@harbour.example" in shown
    assert (email.to, email.to_name, email.reply_to) == (("maria@blue.example",), "Maria Blue", "anna@harbour.example")


def test_plain_text_and_html_have_the_same_text(facts_for: FactsFor) -> None:
    for email in every_email(facts_for):
        seen = EmailParser(email.html).visible_text()
        paragraphs = [one_line(part) for part in email.text.split("\n\n") if "* " not in part and "-- " not in part]
        missing = [part for part in paragraphs if part not in seen and ":" not in part]
        assert missing == [], email.subject


def test_only_the_open_balance_of_a_part_paid_invoice_is_requested(facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.BEFORE_DUE))
    assert "€300.50" in email.text
    assert "(of €800.50)" in email.text


def test_an_email_about_overdue_invoices_does_not_count_those_not_due_yet(facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.SECOND_NOTICE, about=("INV-1042", "INV-1050")))
    assert "Invoice INV-1042 for €1,150.00 is now 19 days overdue" in email.text
    assert email.subject == "Second reminder: invoice INV-1042, 19 days overdue"
    assert "Total outstanding: €1,450.50" in email.text


@pytest.mark.parametrize(
    ("sender", "signed"),
    [
        ("Anna Berg", "Anna Berg\nHarbour Lights Ltd\n"),
        ("Harbour Lights", "Kind regards\nHarbour Lights Ltd\n"),
        ("", "Kind regards\nHarbour Lights Ltd\n"),
    ],
)
def test_the_sender_signs_for_the_company_and_the_company_for_itself(
    sender: str, signed: str, facts_for: FactsFor
) -> None:
    assert signed in compose_email(facts_for(Step.PAST_DUE, sender_name=sender)).text


def test_a_late_fee_is_announced_only_where_fees_are_enabled(facts_for: FactsFor) -> None:
    for step in REMINDER_STEPS:
        assert "late fee" not in compose_email(facts_for(step, fee=None, tone="firm")).text
        assert (
            "late fee of 1.5%" in compose_email(facts_for(step, fee=FeeWarning(FeeKind.PER_MONTH, Decimal("1.5")))).text
        )


@pytest.mark.parametrize(
    ("kind", "figure", "text"),
    [
        ("flat", "40", "a late fee of €40.00 will be charged"),
        ("once", "5", "a late fee of 5% will be charged"),
        ("per_month", "1.50", "1.5% per month"),
        ("per_year", "11.75", "interest of 11.75% per year"),
    ],
)
def test_every_kind_of_fee_is_announced_with_its_figure(kind: str, figure: str, text: str, facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.PAST_DUE, fee=FeeWarning(FeeKind(kind), Decimal(figure), date(2026, 11, 30))))
    assert text in email.text
    assert "30 November 2026" in email.text
    for language in LANGUAGES:
        compose_email(facts_for(Step.PAST_DUE, language=language, fee=FeeWarning(FeeKind(kind), Decimal(figure))))


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "This applies only to invoice INV-1042."),
        ("de", "Dies betrifft nur die Rechnung INV-1042."),
        ("fr", "Cela concerne uniquement la facture INV-1042."),
        ("es", "Esto afecta únicamente a la factura INV-1042."),
        ("nl", "Dit geldt alleen voor factuur INV-1042."),
        ("it", "Quanto sopra riguarda solo la fattura INV-1042."),
        ("pt", "Isto abrange apenas a fatura INV-1042."),
    ],
)
def test_a_fee_that_can_come_on_some_invoices_only_names_them(
    language: str, sentence: str, facts_for: FactsFor
) -> None:
    warning = FeeWarning(FeeKind.FLAT, Decimal(5), date(2026, 11, 30), only_for=("INV-1042",))
    email = compose_email(facts_for(Step.PAST_DUE, language=language, fee=warning))
    assert sentence in email.text.replace("\n", " ").replace("\u00a0", " ")


def test_a_final_notice_has_its_date_everywhere(facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.FINAL_NOTICE))
    assert all("17 December 2026" in part for part in (email.subject, email.text))
    assert "17 December 2026" in EmailParser(email.html).visible_text()


@pytest.mark.parametrize(
    ("step", "without", "error"),
    [
        (Step.FINAL_NOTICE, {"suspension_on": None}, "date from which"),
        (Step.DISCOUNT_ENDING, {"discount": None}, "discount"),
        (Step.PROMISE_BROKEN, {"promised_on": None}, "promised"),
        (Step.PAYMENT_RETURNED, {"thanked_on": None}, "thanked"),
        (Step.PAST_DUE, {"invoices": ()}, "invoice"),
        (Step.PAST_DUE, {"to": ()}, "no email address"),
        (Step.PAST_DUE, {"to": ("a@b.example\r\nBcc: c@d.example",)}, "not an email address"),
        (Step.PAST_DUE, {"about": ("INV-9",)}, "INV-9"),
        (Step.PAST_DUE, {"tone": "rude"}, "rude"),
        (Step.PAST_DUE, {"stop_link": "javascript:alert(1)"}, "link"),
        (Step.THANK_YOU, {"paid": ()}, "paid"),
        (Step.CALL, {}, "not an email"),
    ],
)
def test_an_email_without_a_necessary_fact_is_not_composed(
    step: Step, without: dict[str, object], error: str, facts_for: FactsFor
) -> None:
    with pytest.raises(EmailError, match=error):
        compose_email(facts_for(step, **without))


def test_an_email_that_states_a_due_date_needs_one(facts_for: FactsFor) -> None:
    undated = replace(facts_for(Step.PAST_DUE).invoices[0], due_on=None)
    with pytest.raises(EmailError, match="due date"):
        compose_email(facts_for(Step.PAST_DUE, invoices=(undated,)))


def test_an_unknown_language_falls_back_to_english(facts_for: FactsFor) -> None:
    assert compose_email(facts_for(Step.PAST_DUE, language="tlh")).text == compose_email(facts_for(Step.PAST_DUE)).text
    assert "Guten Tag" in compose_email(facts_for(Step.PAST_DUE, language="de-AT")).text


def test_a_hostile_name_changes_nothing_but_itself(facts_for: FactsFor) -> None:
    for step in EMAIL_STEPS:
        facts = facts_for(step)
        email = compose_email(
            replace(
                facts,
                customer_name=HOSTILE_NAME,
                contact_name=HOSTILE_NAME,
                company_name=HOSTILE_NAME,
                sender_name=HOSTILE_NAME,
                payment_instructions="IBAN <script>1</script> \u202e",
                invoices=[replace(line, number=HOSTILE_NAME) for line in facts.invoices],
                about=[HOSTILE_NAME] if facts.invoices else [],
                paid=[replace(line, number=HOSTILE_NAME) for line in facts.paid],
            )
        )
        for part in (email.subject, email.to_name, email.sender_name):
            assert "\n" not in part
            assert "\r" not in part
        everything = email.subject + email.to_name + email.sender_name + email.text + email.html
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\ud800-\udfff]", everything)
        assert not re.search(r"(?im)^\s*bcc:", email.text)
        reader = EmailParser(email.html)
        assert reader.find_all("script") == reader.find_all("mj-raw") == []
        assert "{{ 7 * 7 }}" in email.text
        assert {link["href"] for link in reader.find_all("a")} <= {
            "https://duewell.harbour.example/c/abc",
            "https://duewell.harbour.example/u/abc",
            *(line.pay_link for line in facts.invoices),
        }


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "http://pay.example/1",
        "https://user:pw@pay.example",
        'https://pay.example/"onclick=',
        "ftp://x",
        "https://päy.example",
        "//pay.example",
        "https://[bad",
    ],
)
def test_a_pay_link_that_is_not_a_plain_https_address_is_left_out(link: str, facts_for: FactsFor) -> None:
    line = replace(facts_for(Step.PAST_DUE).invoices[0], pay_link=link)
    email = compose_email(facts_for(Step.PAST_DUE, invoices=(line,), about=(line.number,)))
    assert link not in email.text
    ours = ["https://duewell.harbour.example/c/abc", "https://duewell.harbour.example/u/abc"]
    assert [each["href"] for each in EmailParser(email.html).find_all("a")] == ours
    assert "Our bank details are on the invoice." in email.text


def test_every_email_is_accessible(facts_for: FactsFor) -> None:
    """Language, title, one heading, text of 16 px, scopes and roles."""
    for email in every_email(facts_for):
        reader = EmailParser(email.html)
        assert reader.find_all("html")[0]["lang"] in LANGUAGES
        assert reader.text_by_tag["title"].strip() == email.subject
        assert len(reader.find_all("h1")) == 1
        assert reader.text_by_tag["h1"].strip()
        assert reader.find_all("img") == []
        assert all(each["scope"] in {"row", "col", "rowgroup"} for each in reader.find_all("th"))
        data_tables = [table for table in reader.find_all("table") if table.get("role") != "presentation"]
        assert len(data_tables) == (1 if reader.find_all("th") else 0)
        assert {int(size) for size in re.findall(r"font-size: ?(\d+)px", email.html)} <= {0, 1, 16, 22, 28}


def test_emails_load_nothing_from_other_hosts(facts_for: FactsFor) -> None:
    for email in every_email(facts_for):
        addresses = set(re.findall(r"https?://[^\s\"'<>)&]+", email.html))
        assert {address.split("/")[2] for address in addresses} <= {
            "www.w3.org", "pay.example", "duewell.harbour.example"
        }  # fmt: skip
        assert not re.search(r"(?i)<(link|img|iframe|object|script)\b|url\(|@import", email.html)


def test_headers_suppress_automatic_replies_and_allow_unsubscribing(facts_for: FactsFor) -> None:
    headers = dict(compose_email(facts_for(Step.PAST_DUE)).headers)
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["List-Unsubscribe"] == "<https://duewell.harbour.example/u/abc>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    without = dict(compose_email(facts_for(Step.PAST_DUE, stop_link="")).headers)
    assert "List-Unsubscribe" not in without
    assert "List-Unsubscribe-Post" not in without


def test_an_account_owner_alert_has_no_links_for_the_customer(facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.NOTIFY_OWNER, contact_name="Omar"))
    assert EmailParser(email.html).find_all("a") == []
    assert "https://" not in email.text
    assert "List-Unsubscribe" not in dict(email.headers)
    assert "Hello Omar," in email.text


def test_a_sequence_of_emails_is_one_thread(facts_for: FactsFor) -> None:
    first = compose_email(facts_for(Step.PAST_DUE, key="k1"))
    third = compose_email(facts_for(Step.FINAL_NOTICE, key="k3", earlier_keys=("k1", "k2")))
    headers = dict(third.headers)
    assert dict(first.headers)["Message-ID"] == message_id("k1", "harbour.example")
    assert headers["References"] == f"{message_id('k1', 'harbour.example')} {message_id('k2', 'harbour.example')}"
    assert headers["In-Reply-To"] == message_id("k2", "harbour.example")


def test_a_second_attempt_keeps_the_message_id(facts_for: FactsFor) -> None:
    first, second = (compose_email(facts_for(Step.PAST_DUE, attempt=attempt)) for attempt in (1, 2))
    assert dict(first.headers) == dict(second.headers)
    assert second.attempt == 2


def test_a_long_list_ends_in_one_row_and_totals_include_it(facts_for: FactsFor) -> None:
    many = [
        InvoiceLine(f"N{number}", date(2026, 1, 1), date(2026, 2, 1), Decimal("10.10"), Decimal("10.10"), number)
        for number in range(1, 301)
    ]
    facts = facts_for(Step.SECOND_NOTICE, invoices=many, about=[line.number for line in many])
    statement = Attachment("statement.pdf", "application/pdf", b"%PDF")
    for given, rest in (
        (facts, "260 more invoices: €2,626.00"),
        (replace(facts, statement=statement), "290 more invoices on the attached statement: €2,929.00"),
    ):
        email = compose_email(given)
        assert rest in email.text
        assert "Total outstanding: €3,030.00" in email.text
        assert "Invoices N300, N299, N298 and 297 more" in email.text  # in the order of the table
        assert len(email.html) < 60_000  # email programs clip at about 100 kB


def test_a_thank_you_email_requests_nothing(facts_for: FactsFor) -> None:
    paid = [PaidLine("A1", Decimal(10), date(2026, 11, 1)), PaidLine("A2", Decimal(5), date(2026, 11, 1))]
    email = compose_email(facts_for(Step.THANK_YOU, paid=paid))
    assert "your payment of €15.00 for invoices A1 and A2" in email.text
    assert "due " not in email.text
    assert EmailParser(email.html).find_all("th") == []


def test_attachments_are_mentioned(facts_for: FactsFor) -> None:
    one = Attachment("invoice-1042.pdf", "application/pdf", b"%PDF")
    assert "The invoice is attached." in compose_email(facts_for(Step.PAST_DUE, attachments=(one,))).text
    assert "2 invoices are attached." in compose_email(facts_for(Step.PAST_DUE, attachments=(one, one))).text


def test_payment_instructions_keep_their_lines(facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.PAST_DUE, payment_instructions="IBAN DE02 1203\nBIC BYLADEM1001"))
    assert "IBAN DE02 1203\nBIC BYLADEM1001" in email.text
    assert "IBAN DE02 1203<br />BIC BYLADEM1001" in email.html  # Outlook knows no white-space


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_preview_has_whole_sentences_in_languages_that_go_on_after_the_salutation(
    facts_for: FactsFor, language: str
) -> None:
    texts = EmailTexts(facts_for(Step.PAST_DUE, language=language), language_of(language)).layout_values()
    opening = texts.opening[0]
    assert f". {opening[0].upper()}{opening[1:20]}" in texts.preview


def test_what_follows_a_hebrew_or_arabic_name_is_shown_behind_it(facts_for: FactsFor) -> None:
    facts = facts_for(Step.PAST_DUE, customer_name="شركة النور")
    line = replace(facts.invoices[0], number="חש")
    email = compose_email(replace(facts, invoices=[line, *facts.invoices[1:]], about=[line.key]))
    assert "Invoice חש\u200e for €1,200.00" in email.text  # the mark keeps the amount from moving before the number
    assert "Invoice חש\u200e of" in email.text
    assert "sent شركة النور\u200e an invoice" in email.text
    assert "חש\u200e" in email.html
    assert "\u200e" not in compose_email(facts_for(Step.PAST_DUE)).text
