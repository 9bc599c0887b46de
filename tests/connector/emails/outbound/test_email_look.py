"""The brand of a company in its emails: pictures that travel with them, the colour, who signs, the footer."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from PIL import Image

from connector.branding.brand import Brand, BrandChange, apply_change
from connector.emails.outbound.render import EmailFacts, compose_email
from connector.emails.outbound.statement_pdf import draw_statement
from policies.receivables import Step
from tests.connector.emails.outbound.test_statement_pdf import extract_text

FactsFor = Callable[..., EmailFacts]


@pytest.fixture(scope="module")
def brand() -> Brand:
    logo, portrait = io.BytesIO(), io.BytesIO()
    Image.new("RGBA", (480, 120), "#7a285acc").save(logo, "PNG")
    Image.new("RGB", (300, 300), "tan").save(portrait, "JPEG")
    texts = {
        "accent_colour": "#7a285a",
        "signer_name": "Anna Berg",
        "signature": "Accounts receivable\n+44 20 7946 0000",
        "legal_footer": "Harbour Lights Ltd, registered in England 0123456",
        "links": "Terms & conditions https://harbour.example/terms",
    }
    return apply_change(Brand(), BrandChange(texts, logo=logo.getvalue(), portrait=portrait.getvalue()))


def test_pictures_travel_in_the_email_and_each_is_shown(brand: Brand, facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.PAST_DUE, brand=brand))
    shown = re.findall(r'<img [^>]*src="cid:([^"]+)" alt="([^"]+)"', email.html)
    assert shown == [(email.inline[0].content_id, "Harbour Lights Ltd"), (email.inline[1].content_id, "Anna Berg")]
    assert [each.content for each in email.inline] == [
        brand.logo and brand.logo.content,
        brand.portrait and brand.portrait.content,
    ]
    assert not re.search(r'src="(?!cid:)|url\(', email.html)
    assert "cid:" not in email.text


def test_colour_signature_footer_and_links_are_in_every_part(brand: Brand, facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.PAST_DUE, brand=brand))
    assert 'bgcolor="#7a285a"' in email.html
    assert "a { color: #7a285a; }" in email.html
    assert "#0b5fa5" not in email.html
    assert "Anna Berg\nAccounts receivable\n+44 20 7946 0000\nHarbour Lights Ltd\n" in email.text
    foot = email.text.partition("\n-- \n")[2]
    assert (
        "registered in England 0123456\nTerms & conditions: https://harbour.example/terms\nStop payment reminders"
        in foot
    )
    assert "Terms &amp; conditions</a>" in email.html


def test_another_persons_picture_and_telephone_never_stand_beside_a_name(brand: Brand, facts_for: FactsFor) -> None:
    email = compose_email(facts_for(Step.PAST_DUE, brand=brand, sender_name="Omar Lee"))
    assert len(email.inline) == 1
    assert "7946" not in email.text + email.html


def test_a_signer_who_shortens_the_companys_name_keeps_picture_and_telephone(brand: Brand, facts_for: FactsFor) -> None:
    short = replace(brand, signer_name="Harbour Lights")
    email = compose_email(facts_for(Step.PAST_DUE, brand=short, sender_name="Harbour Lights"))
    assert len(email.inline) == 2
    assert "Kind regards\nHarbour Lights Ltd\nAccounts receivable\n+44 20 7946 0000\n" in email.text


def test_an_account_owner_alert_and_an_email_without_brand_carry_nothing(brand: Brand, facts_for: FactsFor) -> None:
    assert compose_email(facts_for(Step.NOTIFY_OWNER, brand=brand)).inline == ()
    plain = compose_email(facts_for(Step.PAST_DUE))
    assert plain.inline == ()
    assert "<img" not in plain.html


def test_hostile_texts_of_a_brand_change_nothing_but_themselves(brand: Brand, facts_for: FactsFor) -> None:
    evil = replace(brand, signature="<script>1</script>\n{{ 7 * 7 }}", legal_footer='"><img src=x onerror=1>')
    email = compose_email(facts_for(Step.PAST_DUE, brand=evil))
    assert "<script>" not in email.html
    assert email.html.count("<img ") == 2
    assert "{{ 7 * 7 }}" in email.text


def test_the_statement_has_logo_and_legal_footer(brand: Brand, facts_for: FactsFor) -> None:
    facts = facts_for(
        Step.SECOND_NOTICE, brand=brand, company_name="Harbour Lights and Sons of the Northern Coast " * 2
    )
    content = draw_statement(facts, date(2026, 11, 21)).content
    assert b"/Subtype /Image" in content
    assert "registered in England 0123456" in extract_text(content)
    assert b"/Subtype /Image" not in draw_statement(replace(facts, brand=Brand()), date(2026, 11, 21)).content
