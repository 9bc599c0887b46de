"""The report pages: visibility, accessible plots, links to the invoices behind a figure, CSV, PDF, few queries."""

from __future__ import annotations

import re
from datetime import timedelta
from html import escape, unescape
from typing import Any
from xml.etree import ElementTree as ET

from connector.db.engine import writing
from connector.db.tables import ApplicationRow, Connection, CustomerRow, InvoiceRow
from connector.reports.catalogue import REPORTS
from connector.reports.report import Bar, Plot, PlotKind, Severity, Span
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
    assert len(drawn) == 4  # no promise was made, and no reminder sent: it says what is missing
    assert "No promise to pay has fallen due yet." in page
    assert "Results appear 7 days after the first." in page
    assert page.count("<table") == len(drawn)
    for each in drawn:
        picture = ET.fromstring(each)
        assert all(picture.findtext(name) for name in ("title", "desc"))
        assert "style=" not in each
    behind = "/reports/cash-collected/invoices?company=all&row=GBP:2026-06-08&column=collected"
    assert f'href="{escape(behind.replace(":", "%3A"))}"' in page
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
    for path in ("/reports.pdf", "/reports/ageing-by-customer.pdf", behind.replace("/invoices?", "/invoices.pdf?")):
        document = viewer.get(path)
        assert document.headers["Content-Type"] == "application/pdf"
        assert document.content.startswith(b"%PDF")
    assert "'=Customer" in viewer.get(behind.replace("/invoices?", "/invoices.csv?")).text
    assert viewer.get("/reports/dso/invoices").url.endswith("/reports/dso")
    for path in ("/reports/dso/invoices?row=GBP:2026-06-08&column=days", "/reports/cash-collected/invoices?row=x"):
        assert viewer.get(path).status_code == 404
    for report, column in (
        ("cash-collected", "collected"),
        ("cash-forecast", "expected"),
        ("reminder-results", "paid"),
    ):
        day = (
            "past_due" if report == "reminder-results" else "2026-06-10" if report == "cash-forecast" else "2026-06-08"
        )
        urls = [f"/reports/{report}/invoices?row={code}:{day}&column={column}" for code in ("GBP", "Call us", "%00AB")]
        assert [viewer.get(url).status_code for url in urls] == [200, 404, 404], report


def test_figures_include_only_companies_the_user_sees(site: Site) -> None:
    north, south = site.add_company("North Ltd"), site.add_company("South Ltd")
    add_invoices(site, north, 4)
    add_invoices(site, south, 6, currency="SEK")
    limited = site.sign_in("viewer", north)
    for path in ("/reports", "/reports/ageing", "/reports/ageing-by-customer.csv", "/reports/cash-forecast"):
        assert "SEK" not in limited.get(path).text
        assert limited.get(f"{path}?company={south}").status_code == 404
    assert "SEK" in site.sign_in("owner").get(f"/reports/ageing?company={south}").text


def test_the_list_behind_each_bar_and_cell_adds_up_to_it(site: Site) -> None:
    """Two companies on either side of the date line: an invoice is overdue by the date in its own company."""
    north = site.add_company("North Ltd", time_zone="Pacific/Auckland")
    add_invoices(site, north, 140)
    add_invoices(site, site.add_company("South Ltd", time_zone="Pacific/Honolulu"), 126)
    site.clock.at += timedelta(hours=9)  # the next day has begun in Auckland, and not in Honolulu
    viewer = site.sign_in("viewer")
    checked = 0
    for path in ("/reports/ageing", f"/reports/ageing-by-customer?company={north}", "/reports/dso"):
        page = viewer.get(path).text
        for url, figure in re.findall(r'<td[^>]*><a href="(/invoices[^"]*)">([^<]*)</a>', page)[:24]:
            shown = viewer.get(unescape(url)).text
            column = "Amount" if "issued_from" in url else "Balance"
            foot = shown.partition("<tfoot>")[2]
            totals = dict(re.findall(r'data-label="(Balance|Amount)"[^>]*><strong>GBP ([^<]*)</strong>', foot))
            count = re.search(r"<strong role=\"status\"[^>]*>([\d,]+) invoices?", shown)
            assert count is not None
            assert figure in {totals[column], count[1]}, (url, figure, totals)
            checked += 1
    assert checked >= 30


def test_the_dashboard_needs_few_queries_and_stays_small(site: Site, count_queries: Any) -> None:
    company = site.add_company("Small Works Ltd")
    viewer = site.sign_in("viewer")
    add_invoices(site, company, 2)
    viewer.get("/reports")
    few = count_queries(lambda: viewer.get("/reports"))
    add_invoices(site, company, 160, first=2)
    add_invoices(site, company, 20, first=300, currency="EUR")
    add_invoices(site, company, 20, first=400, currency="JPY")
    cold = count_queries(lambda: viewer.get(f"/reports?company={company}"))
    assert cold < 45
    viewer.get("/reports?company=all")
    assert count_queries(lambda: viewer.get("/reports")) == few <= 12, "of the same books the same report is remembered"
    assert len(viewer.page.content) <= 60_000
    for path in ("/reports/ageing-by-customer", "/reports/cash-collected", "/reports/cash-forecast"):
        assert len(viewer.get(path).content) <= 60_000
    before = viewer.get("/reports/cash-forecast").text
    add_invoices(site, company, 1, first=600)
    assert viewer.get("/reports/cash-forecast").text != before, "other books, another report"


def test_a_dashboard_shows_one_currency_and_names_the_others(site: Site) -> None:
    company = site.add_company("Small Works Ltd")
    viewer = site.sign_in("viewer")
    viewer.get("/reports")  # a new company: what is missing, and when it will be there
    for text in (
        "with the first payment that a sync reads",
        "with the first sync",
        "once the oldest of them is 90 days",
    ):
        assert text in viewer.text
    assert viewer.get("/reports.pdf").content.startswith(b"%PDF")
    add_invoices(site, company, 40)
    add_invoices(site, company, 6, first=200, currency="JPY")
    main = viewer.get("/reports").text
    assert "amounts in GBP" in main
    assert "on average in the 12 weeks before" in main
    aged = main.partition('<h2 id="ageing">')[2].partition("</table>")[0]
    assert '<th scope="row">GBP</th><td data-label="Not due yet"' in aged, "on a phone each figure has its heading"
    assert "JPY" not in main.replace("<option>JPY</option>", "")
    yen = viewer.get("/reports?currency=JPY").text
    assert "amounts in JPY" in yen
    assert "GBP" not in yen.replace("<option>GBP</option>", "")
    assert "amounts in GBP" in viewer.get("/reports?currency=XXX").text


def test_labels_of_a_chart_do_not_collide() -> None:
    """Of a monospaced font, which is wider than any that browsers use here."""
    names = [f"{month} 2026" for month in ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov")]
    plots = [
        Plot(kind, "t", "a", spans=[Span(each, 1e6) for each in names[:count]], legend=legend)
        for kind in (PlotKind.COLUMNS, PlotKind.LINE)
        for count in (1, 2, 5, 11)
        for legend in ((), ("expected", "80 % range"))
    ]
    plots += [
        Plot(PlotKind.BARS, "t", "a", bars=[Bar(label, value, f"{value} % of 136") for value in (0, 44, 100)])
        for label in ("Over 90 days", "Reminder before the due date")
    ]
    for plot in plots:
        boxes = [text_box(each) for each in ET.fromstring(draw(plot)).iter() if each.tag == "text"]
        assert boxes
        for place, (left, right, y) in enumerate(boxes):
            assert left >= -1
            assert right <= 362, plot
            for other_left, other_right, other_y in boxes[:place]:
                assert abs(y - other_y) > 8 or right <= other_left or other_right <= left, plot


def test_the_axis_of_a_chart_names_whole_values() -> None:
    for highest, values in ((1, ["0", "1"]), (5, ["0", "5"]), (8, ["0", "4", "8"]), (50_000, ["0", "25k", "50k"])):
        drawn = ET.fromstring(draw(Plot(PlotKind.COLUMNS, "t", "a", spans=[Span("", highest)])))
        texts = [each.text for each in drawn.iter() if each.tag == "text" and each.text]
        assert texts[: len(values)] == values


def text_box(element: ET.Element) -> tuple[float, float, float]:
    """Return the left and right end of a text, and where it stands."""
    width = len(element.text or "") * 7.2
    x, anchor = float(element.get("x", "0")), element.get("text-anchor")
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor or "start"]
    return left, left + width, float(element.get("y", "0"))


def test_a_plot_has_a_description_and_escapes_names() -> None:
    odd = Plot(PlotKind.BARS, "<b>", "a & b", bars=[Bar('"><script>', 0, "0"), Bar("long" * 20, 5, "5", Severity.BAD)])
    empty = [Plot(kind, "none", "nothing") for kind in PlotKind]
    lonely = Plot(PlotKind.LINE, "one", "one", spans=[Span("May", 3.0)])
    gaps = Plot(PlotKind.LINE, "gaps", "gaps", spans=[Span("May", None), Span("June", 0.0)])
    for plot in (odd, lonely, gaps, *empty):
        picture = ET.fromstring(draw(plot))
        assert picture.findtext("title") == plot.title
        assert picture.find("script") is None
