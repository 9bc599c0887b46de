"""How to pay by bank in an email: the lines, and a code that pays what the email asks for and nothing else."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html import unescape

import pytest
import zxingcpp
from PIL import Image

from connector.bank_details.accounts import BankDetails, parse_bank_details
from connector.emails.outbound.email_sums import sums_of
from connector.emails.outbound.render import EMAIL_STEPS, EmailFacts, compose_email
from connector.languages import LANGUAGES
from connector.services import bank_details
from policies.receivables import Step
from providers.mailer import Email
from tests.connector.emails.outbound.accounts import EUROS, FRANCS
from tests.connector.scenario import Scenario

FactsFor = Callable[..., EmailFacts]
ASKING = [step for step in EMAIL_STEPS if step not in {
    Step.RECEIPT_CHECK, Step.THANK_YOU, Step.WITHHOLDING_CERTIFICATE, Step.NOTIFY_OWNER,
}]  # fmt: skip


def scan(email: Email) -> list[str]:
    """Return the lines of the email's payment code, which its HTML shows."""
    [image] = [each for each in email.inline if each.filename == "payment-code.png"]
    assert f'src="cid:{image.content_id}"' in unescape(email.html)
    [code] = zxingcpp.read_barcodes(Image.open(io.BytesIO(image.content)))
    return code.text.split("\n")


@pytest.mark.parametrize("step", ASKING)
def test_the_code_pays_what_the_email_asks_for(step: Step, facts_for: FactsFor) -> None:
    facts = facts_for(step, bank_details=EUROS)
    asked = sums_of(facts).asked_amount - (facts.discount.amount if facts.discount else 0)
    lines = scan(compose_email(facts))
    assert lines[5:8] == ["Harbour Lights GmbH", "DE89370400440532013000", f"EUR{asked:.2f}"]
    assert lines[10:] == [", ".join(line.number for line in sums_of(facts).asked)]


@pytest.mark.parametrize("step", [step for step in EMAIL_STEPS if step not in ASKING])
def test_an_email_that_asks_for_no_money_names_no_account(step: Step, facts_for: FactsFor) -> None:
    email = compose_email(facts_for(step, bank_details=EUROS))
    assert email.inline == ()
    assert "DE89" not in email.text + email.html


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_text_part_has_the_same_as_lines_in_every_language(language: str, facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.PAST_DUE, bank_details=EUROS, language=language))
    text = email.text.replace("\N{NO-BREAK SPACE}", " ")
    for value in ("Harbour Lights GmbH", "DE89 3704 0044 0532 0130 00", "INV-1042"):
        assert text.count(f": {value}\n") + text.count(f" : {value}\n") >= 1
        assert value in unescape(email.html)
    alt = unescape(email.html).partition('alt="')[2].partition('"')[0]
    assert "Harbour Lights GmbH" in alt
    assert "INV-1042" in alt


def test_several_invoices_are_paid_by_one_transfer_that_names_them_all(facts_for: FactsFor) -> None:
    line = facts_for(Step.PAST_DUE).invoices[0]
    lines = [replace(line, number=f"INV-{number}", due=Decimal("10.10")) for number in range(1, 4)]
    found = scan(compose_email(facts_for(Step.PAST_DUE, bank_details=EUROS, invoices=lines, about=())))
    assert (found[7], found[10]) == ("EUR30.30", "INV-1, INV-2, INV-3")


def test_what_was_paid_and_what_credit_covers_is_not_asked_for_again(facts_for: FactsFor) -> None:
    line = replace(
        facts_for(Step.PAST_DUE).invoices[0], total=Decimal(1000), due=Decimal("400.05"), covered=Decimal("0.05")
    )
    found = scan(compose_email(facts_for(Step.PAST_DUE, bank_details=EUROS, invoices=(line,))))
    assert found[7] == "EUR400.00"


@pytest.mark.parametrize("number", [" ", "-", "請求書", "🎉"])
def test_an_invoice_without_a_number_that_banks_pass_on_is_named_by_its_date(number: str, facts_for: FactsFor) -> None:
    line = replace(facts_for(Step.PAST_DUE).invoices[0], number=number, id="a")
    found = scan(compose_email(facts_for(Step.PAST_DUE, bank_details=EUROS, invoices=(line,), about=("a",))))
    assert found[10] == line.issued_on.isoformat() == date(2026, 10, 3).isoformat()


def test_swiss_francs_have_the_swiss_code(facts_for: FactsFor) -> None:
    found = scan(compose_email(facts_for(Step.PAST_DUE, bank_details=FRANCS, currency="CHF")))
    assert found[:4] == ["SPC", "0200", "1", "CH9300762011623852957"]
    assert (found[18:20], found[27:30]) == (["1200.00", "CHF"], ["NON", "", "INV-1042"])


@pytest.mark.parametrize(
    ("currency", "values", "shown"),
    [
        (
            "GBP",
            {"bank_code": "123456", "account_number": "01234567"},
            ["Sort code: 12-34-56", "Account number: 01234567"],
        ),
        ("USD", {"bank_code": "021000021", "account_number": "000123456"}, ["Routing number: 021000021"]),
        ("AUD", {"bank_code": "062000", "account_number": "12345678"}, ["BSB: 062-000"]),
        ("SEK", {"iban": "SE45 5000 0000 0583 9825 7466"}, ["IBAN: SE45 5000 0000 0583 9825 7466"]),
    ],
)
def test_other_accounts_are_lines_without_a_code(
    currency: str, values: dict[str, str], shown: list[str], facts_for: FactsFor
) -> None:
    account: BankDetails = parse_bank_details({"currency": currency, "payee": "Harbour Lights", **values})
    email = compose_email(facts_for(Step.PAST_DUE, bank_details=account, currency=currency))
    assert email.inline == ()
    for line in (*shown, "Payee: Harbour Lights", "Reference: INV-1042"):
        assert f"{line}\n" in email.text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_transfer_and_the_total_of_dinars_agree_to_the_fils(facts_for: FactsFor) -> None:
    account = parse_bank_details({"currency": "KWD", "payee": "Harbour", "iban": "KW81CBKU0000000000001234560101"})
    line = replace(facts_for(Step.PAST_DUE).invoices[0], total=Decimal("12.345"), due=Decimal("12.345"))
    email = compose_email(facts_for(Step.PAST_DUE, bank_details=account, currency="KWD", invoices=(line,)))
    assert set(re.findall(r"KWD.([\d.]+\d)", email.text)) == {"12.345"}


def test_a_customer_gets_a_code_for_what_is_left_of_their_invoice(scenario: Scenario) -> None:
    company, address = scenario.company, "buchhaltung@blau.example"
    if company.provider == "xero":
        company.simulator.add_contact(
            "Blau GmbH", email=address, country="Germany", currency="EUR", **company.company_filter
        )
    else:
        company.simulator.add_customer("Blau GmbH", email=address, currency="EUR", BillAddr={"Country": "DE"})
    number = company.invoice("Blau GmbH", "1200.00", due_on=scenario.days_ago(6))
    company.pay(number, "350.50", on=scenario.days_ago(1))
    scenario.connect()
    form = {"currency": "EUR", "payee": "Harbour Lights GmbH", "iban": "DE89370400440532013000"}
    bank_details.set_bank_details(scenario.app, scenario.connection, form, by="ann")
    scenario.go_live()
    scenario.run()
    [email] = scenario.sandbox.sendgrid.emails_to(address)
    [image] = [each for each in email.attachments if each.inline]
    assert f"cid:{image.content_id}" in unescape(email.html)
    [code] = zxingcpp.read_barcodes(Image.open(io.BytesIO(image.content)))
    assert code.text.split("\n")[6:] == ["DE89370400440532013000", "EUR849.50", "", "", number]
    assert f"{number}\n" in email.text
