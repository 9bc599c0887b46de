"""The report pages: visibility, accessible plots, safe CSV, few queries."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree as ET

from connector.db.engine import writing
from connector.db.tables import ApplicationRow, Connection, CustomerRow, InvoiceRow
from connector.reports.catalogue import REPORTS
from connector.web.charts import draw
from policies.receivables import CreditKind, InvoiceStatus

Site = Any


def add_invoices(site: Site, company: int, count: int, *, first: int = 0, currency: str = "GBP") -> None:
    """Add invoices of as many customers: every other one is paid, each a little later than the one before."""
    today = site.clock.at.date()
    with writing(site.app.engine) as session:
        session.get_one(Connection, company).mirror_version += 1
    for number in range(first, first + count):
        due_on, is_open = today - timedelta(days=number % 120 - 10), number % 2 == 0
        settled_on = None if is_open else min(today, due_on + timedelta(days=3))
        site.add_rows(
            CustomerRow(connection_id=company, external_id=f"c{number}", name=f"=Customer {number}"),
            InvoiceRow(
                connection_id=company,
                external_id=f"i{number}",
                number=f"I-{number}",
                customer_id=f"c{number}",
                currency=currency,
                issued_on=due_on - timedelta(days=30),
                due_on=due_on,
                total_e4=1_000_000,
                due_e4=1_000_000 if is_open else 0,
                status=InvoiceStatus.OPEN if is_open else InvoiceStatus.PAID,
                is_open=is_open,
                closed_on=settled_on,
            ),
        )
        if settled_on:
            site.add_rows(
                ApplicationRow(
                    connection_id=company,
                    source_kind=CreditKind.PAYMENT,
                    source_id=f"p{number}",
                    invoice_id=f"i{number}",
                    applied_on=settled_on,
                    amount_e4=1_000_000,
                )
            )


def test_every_report_has_plots_a_table_and_csv(site: Site) -> None:
    company = site.add_company("Small Works Ltd", base_currency="GBP")
    add_invoices(site, company, 140)
    viewer = site.sign_in("viewer")
    page = viewer.get("/reports").text
    drawn = re.findall(r'<svg class="plot".*?</svg>', page, re.DOTALL)
    assert len(drawn) >= 4
    for each in drawn:
        picture = ET.fromstring(each)
        assert all(picture.findtext(name) for name in ("title", "desc"))
        assert "style=" not in each
    for name in REPORTS:
        page = viewer.get(f"/reports/{name}").text
        assert "Figures" in page
        sheet = viewer.get(f"/reports/{name}.csv")
        assert "text/csv" in sheet.headers["Content-Type"]
        assert f"duewell-{name}-2026-06-10.csv" in sheet.headers["Content-Disposition"]
    owed = viewer.get("/reports/ageing-by-customer")
    assert owed.text.count('scope="row"') == 50
    assert re.search(rf'<a href="/companies/{company}/customers/c(\d+)">=Customer \1</a>', owed.text)
    assert viewer.get("/reports/ageing-by-customer?page=2").text.count('scope="row"') == 20
    assert "No data on this page" in viewer.get("/reports/ageing-by-customer?page=9").text
    assert "'=Customer 0," in viewer.get("/reports/ageing-by-customer.csv").text
    assert viewer.get("/reports/taxes").status_code == 404


def test_figures_include_only_companies_the_user_sees(site: Site) -> None:
    north, south = site.add_company("North Ltd"), site.add_company("South Ltd")
    add_invoices(site, north, 4)
    add_invoices(site, south, 6, currency="SEK")
    limited = site.sign_in("viewer", north)
    for path in ("/reports", "/reports/ageing", "/reports/ageing-by-customer.csv", "/reports/cash-forecast"):
        assert "SEK" not in limited.get(path).text
        assert limited.get(f"{path}?company={south}").status_code == 404
    assert "SEK" in site.sign_in("owner").get(f"/reports/ageing?company={south}").text


def test_the_number_of_queries_does_not_depend_on_the_number_of_invoices(site: Site, count_queries: Any) -> None:
    company = site.add_company("Small Works Ltd")
    viewer = site.sign_in("viewer")
    add_invoices(site, company, 2)
    few = count_queries(lambda: viewer.get("/reports"))
    add_invoices(site, company, 80, first=2)
    many = count_queries(lambda: viewer.get(f"/reports?company={company}"))
    assert many <= few + 2, "what was learned of a customer is asked for once"
    assert many < 45
    assert count_queries(lambda: viewer.get("/reports")) < many - 5, "of the same books the same report is remembered"
    before = viewer.get("/reports/cash-forecast").text
    add_invoices(site, company, 1, first=84)
    assert viewer.get("/reports/cash-forecast").text != before, "other books, another report"


def test_a_plot_has_a_description_and_escapes_names() -> None:
    from connector.reports.report import Bar, Plot, Span  # noqa: PLC0415

    odd = Plot("bars", "<b>", "a & b", bars=[Bar('"><script>', 0, "0"), Bar("long" * 20, 5, "5", "bad")])
    empty = [Plot(shape, "none", "nothing") for shape in ("bars", "columns", "line", "ranges")]
    lonely = Plot("line", "one", "one", spans=[Span("May", 3.0)])
    gaps = Plot("line", "gaps", "gaps", spans=[Span("May", None), Span("June", 0.0)])
    for plot in (odd, lonely, gaps, *empty):
        picture = ET.fromstring(draw(plot))
        assert picture.findtext("title") == plot.title
        assert picture.find("script") is None
