"""The portal page: what it shows of one customer alone, its documents, and that viewing changes nothing."""

from __future__ import annotations

import io
import re
from contextlib import ExitStack
from datetime import timedelta

import pytest
from PIL import Image

from connector.branding.brand import BrandChange
from connector.portal import documents
from connector.services import branding
from tests.connector.portal.conftest import PortalScenario, find_row, stored_state, visible_text


@pytest.mark.parametrize("scenario", ["xero", "quickbooks"], indirect=True)
def test_the_page_shows_one_customers_open_invoices_and_viewing_changes_nothing(scenario: PortalScenario) -> None:
    scenario.set_policy('payment_instructions = { GBP = "Bank: Larkspur <GB29 NWBK>\\nQuote the number." }')
    before = stored_state(scenario)
    for path in ("", "?notice=done_paid", "?notice=%3Cscript%3E"):
        page = scenario.client.get(path)
        assert page.status_code == 200
    shown = visible_text(page)
    for part in (
        scenario.overdue,
        "6 days overdue",
        "£1,200.00",
        scenario.upcoming,
        "£80.50",
        "£1,280.50",
        "Small Works Ltd",
        "Bank: Larkspur <GB29 NWBK> Quote the number.",
    ):
        assert part in shown
    assert "checkbox" not in page.text  # each invoice has its own actions, and nothing is ticked in advance
    assert "Potter" not in shown
    assert scenario.foreign not in shown
    assert "640" not in shown
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in page.headers["X-Robots-Tag"]
    assert "no-store" in page.headers["Cache-Control"]
    assert page.headers.get("Set-Cookie") is None
    statement = scenario.client.get("/statement/GBP.pdf")
    invoice = scenario.client.get(f"/invoice/{find_row(scenario, scenario.overdue).external_id}.pdf")
    for pdf in (statement, invoice):
        assert (pdf.status_code, pdf.content[:5]) == (200, b"%PDF-")
        assert "no-store" in pdf.headers["Cache-Control"]
    assert scenario.client.get("/statement/EUR.pdf").status_code == 404
    assert scenario.client.get(f"/invoice/{find_row(scenario, scenario.foreign).external_id}.pdf").status_code == 404
    for number in (scenario.upcoming, scenario.foreign):
        scenario.client.post(f"/pay/{find_row(scenario, number).external_id}")
    pay_links = re.findall(r'class="button" href="([^"]+)"', scenario.client.get().text)
    assert len(pay_links) == 2
    ids = {number: find_row(scenario, number).external_id for number in (scenario.overdue, scenario.foreign)}
    to_pay = scenario.client.get(f"/pay?invoice={ids[scenario.overdue]}")
    assert "£1,200.00" in visible_text(to_pay)
    assert "80.50" not in to_pay.text
    assert "Bank: Larkspur <GB29 NWBK>" in visible_text(to_pay)
    assert re.findall(r'class="button" href="([^"]+)"', to_pay.text) == pay_links[:1]
    assert "£1,280.50" in visible_text(scenario.client.get("/pay"))
    foreign = visible_text(scenario.client.get(f"/pay?invoice={ids[scenario.foreign]}"))
    assert "Nothing is left to pay" in foreign
    assert scenario.client.get("/brand.css").text == ""
    assert scenario.client.get("/logo.png").status_code == 404
    assert "640" not in foreign
    assert stored_state(scenario) == before


def test_customers_who_open_documents_at_once_leave_room_for_a_sync(
    scenario: PortalScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "VISITOR_PATIENCE", timedelta(0))
    path = f"/invoice/{find_row(scenario, scenario.overdue).external_id}.pdf"
    with ExitStack() as others:
        for _ in range(documents.CALLS_AT_ONCE):
            others.enter_context(documents._turn(scenario.connection))
        assert scenario.client.get(path).status_code == 503
    for _ in range(documents.CALLS_AT_ONCE + 1):
        assert scenario.client.get(path).status_code == 200


def test_the_page_has_the_colour_logo_and_footer_of_its_company_alone(scenario: PortalScenario) -> None:
    file = io.BytesIO()
    Image.new("RGB", (600, 200), "navy").save(file, "PNG")
    texts = {
        "accent_colour": "#7a285a",
        "legal_footer": "Registered <in> England",
        "links": "Terms https://s.example/t",
    }
    branding.set_brand(scenario.app, scenario.connection, BrandChange(texts, logo=file.getvalue()), by="a test")
    for path in ("", "/pay"):
        page = scenario.client.get(path)
        assert "/logo.png" in page.text
        assert "Registered <in> England" in visible_text(page)
        assert 'href="https://s.example/t"' in page.text
    assert "--accent: #7a285a" in scenario.client.get("/brand.css").text
    logo = scenario.client.get("/logo.png")
    assert (logo.headers["Content-Type"], logo.content[:4]) == ("image/png", b"\x89PNG")
    assert logo.headers["Cache-Control"] == "private, max-age=300"
    assert scenario.client.get("/logo.png", link=scenario.client.link[:-1] + "x").status_code == 404
