"""How to pay by bank in the portal: the lines, and a code that pays what the page asks this customer for."""

from __future__ import annotations

import io
import re
from html import unescape

import requests
import zxingcpp
from PIL import Image

from connector.services import bank_details
from tests.connector.portal.conftest import PortalScenario, find_row, visible_text

FORM = {"currency": "EUR", "payee": "Small Works GmbH", "iban": "DE89370400440532013000", "confirmed": "yes"}


def scan(scenario: PortalScenario, page: requests.Response) -> list[str]:
    """Return what a phone reads of the page's code."""
    [source] = re.findall(r'<img src="([^"]+)"', page.text)
    picture = scenario.client.get(unescape(source).removeprefix(scenario.client.link))
    assert picture.headers["content-type"] == "image/png"
    [code] = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.content)))
    return code.text.split("\n")[6:]


def test_the_codes_of_the_portal_pay_what_its_pages_ask_for(scenario: PortalScenario) -> None:
    for number, amount, days in (("E-1", "40.00", 20), ("E-2", "60.00", 10), ("E-3", "500.00", -10)):
        due_on, filter_ = scenario.days_ago(days).isoformat(), scenario.company.company_filter
        fields = {"currency": "EUR", "number": number, "sent": True, **filter_}
        scenario.company.simulator.add_invoice("Miller & Sons", amount, on="2026-04-01", due_on=due_on, **fields)
    bank_details.set_bank_details(scenario.app, scenario.connection, FORM, by="ann")
    scenario.run()
    page = scenario.client.get()
    assert scan(scenario, page) == ["DE89370400440532013000", "EUR100.00", "", "", "E-1, E-2"]  # not what is due later
    for part in ("Pay by bank transfer", "Small Works GmbH", "DE89 3704 0044 0532 0130 00", "E-1, E-2"):
        assert part in visible_text(page)
    ids = {number: find_row(scenario, number).external_id for number in ("E-1", "E-2", "E-3", scenario.foreign)}
    chosen = scenario.client.get(f"/pay?invoice={ids['E-1']}&invoice={ids['E-3']}")
    assert scan(scenario, chosen) == ["DE89370400440532013000", "EUR540.00", "", "", "E-1, E-3"]
    assert scenario.client.get("/transfer/GBP.png").status_code == 404
    assert scenario.client.get(f"/transfer/EUR.png?invoice={ids[scenario.foreign]}").status_code == 404
    scenario.client.submit("dispute", invoice=[ids["E-1"]], text="Damaged")
    assert scan(scenario, scenario.client.get())[1:] == ["EUR60.00", "", "", "E-2"]
    assert b"/Subtype /Image" in scenario.client.get("/statement/EUR.pdf").content
    scenario.set_policy('[payment_plans]\napproval = "automatic"')
    scenario.client.submit("plan", invoice=ids["E-2"], on="2026-06-20", instalments="3", interval="two-weeks")
    scenario.client.submit("dispute", invoice=[ids["E-3"]], text="Damaged as well")
    assert "DE89" not in visible_text(scenario.client.get())
    assert b"/Subtype /Image" not in scenario.client.get("/statement/EUR.pdf").content  # nor does its statement ask
