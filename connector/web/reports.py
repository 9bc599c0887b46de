"""The reports: a dashboard, each with its figures, and the invoices behind a figure; to print, as CSV and as PDF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sqlmodel import Session
from starlette.responses import Response, StreamingResponse

from connector.db.engine import reading
from connector.errors import NotFound
from connector.reports.ageing import CustomerAgeingRow
from connector.reports.catalogue import BEHIND, REPORTS, TITLES
from connector.reports.csv_export import csv_lines
from connector.reports.invoices_behind import BehindRow
from connector.reports.report import Drill, Report, ReportRow, format_figure
from connector.reports.scope import Scope
from connector.services.report_dashboard import load_dashboard
from connector.web.charts import draw
from connector.web.page_request import ALL_COMPANIES, CompanyFilter, PageRequest, build_url, entity_url
from connector.web.rendering import format_datetime
from connector.web.routes import Route
from providers.import_lock import IMPORT_LOCK

_ROWS_PER_PAGE = 50
Build = Callable[[PageRequest, Session, Scope], Report[ReportRow]]


def show_overview(request: PageRequest) -> Response:
    """Show the dashboard in one currency."""
    with reading(request.app.engine) as session:
        company_filter, scope = _report_scope(request, session)
        dashboard = load_dashboard(session, scope, request.query.get("currency", ""))
    return request.render(
        "reports.html",
        dashboard=dashboard,
        titles=TITLES,
        **_for_reports(company_filter),
    )


def export_overview(request: PageRequest) -> Response:
    """Return the dashboard as PDF."""
    with reading(request.app.engine) as session:
        company_filter, scope = _report_scope(request, session)
        dashboard = load_dashboard(session, scope, request.query.get("currency", ""))
    return _pdf(request, company_filter, scope, dashboard.reports, f"reports-{dashboard.currency}".strip("-"))


def show_report(build: Build, request: PageRequest) -> Response:
    """Show one report with a page of its figures."""
    with reading(request.app.engine) as session:
        company_filter, scope = _report_scope(request, session)
        report = build(request, session, scope)
    page = request.page_number(pages_max=1_000_000)
    selected = {name: request.query[name] for name in ("row", "column") if name in request.query}
    rows = report.rows[(page - 1) * _ROWS_PER_PAGE : page * _ROWS_PER_PAGE]
    currencies = {getattr(row, "currency", "") for row in rows}
    return request.render(
        "report.html",
        report=report,
        rows=rows,
        plots=[plot for plot in report.plots if not plot.currency or plot.currency in currencies],
        page=page,
        has_more=len(report.rows) > page * _ROWS_PER_PAGE,
        selected=selected,
        **_for_reports(company_filter),
    )


def export_csv(build: Build, request: PageRequest) -> Response:
    """Return all rows of a report as CSV, with amounts as plain numbers."""
    with reading(request.app.engine) as session:
        _company_filter, scope = _report_scope(request, session)
        report = build(request, session, scope)
    headers = {"Content-Disposition": f'attachment; filename="duewell-{report.name}-{scope.today}.csv"'}
    return StreamingResponse(csv_lines(report.table_rows()), media_type="text/csv; charset=utf-8", headers=headers)


def export_pdf(build: Build, request: PageRequest) -> Response:
    """Return a report as PDF."""
    with reading(request.app.engine) as session:
        company_filter, scope = _report_scope(request, session)
        report = build(request, session, scope)
    return _pdf(request, company_filter, scope, [report], report.name)


def build_report(request: PageRequest, session: Session, scope: Scope) -> Report[ReportRow]:
    """Build the report of the address."""
    build = REPORTS.get(str(request.path_params["report"]))
    if build is None:
        raise NotFound
    return build(session, scope)


def build_behind(request: PageRequest, session: Session, scope: Scope) -> Report[ReportRow]:
    """Build the list of the invoices behind a figure of the report of the address."""
    build = BEHIND.get(str(request.path_params["report"]))
    row, column = (request.query.get(name, "")[:80] for name in ("row", "column"))
    report = build(session, scope, row, column) if build is not None and scope.companies else None
    if report is None:
        raise NotFound
    return report


def _of_figure(handler: Callable[[PageRequest], Response]) -> Callable[[PageRequest], Response]:
    """Return a handler that needs a figure: an address that names none leads to its report."""

    def handle(request: PageRequest) -> Response:
        if not request.query.get("row"):
            asked = {name: value for name, value in request.query.items() if name == "company"}
            return request.redirect(request.path.replace("/invoices", "", 1), **asked)
        return handler(request)

    return handle


def _pdf(
    request: PageRequest, company_filter: CompanyFilter, scope: Scope, reports: Sequence[Report[ReportRow]], name: str
) -> Response:
    with IMPORT_LOCK:
        from connector.reports.pdf_export import draw_reports  # noqa: PLC0415 - the library takes a while to load

    zone = scope.companies[0].time_zone if len(scope.companies) == 1 else "UTC"
    text = str(getattr(format_datetime(request.now, zone), "striptags", lambda: "")())
    pdf = draw_reports(reports, about=f"{_company_names(company_filter)}, as of {text}", on=scope.today)
    headers = {"Content-Disposition": f'attachment; filename="duewell-{name}-{scope.today}.pdf"'}
    return Response(pdf, media_type="application/pdf", headers=headers)


def _for_reports(company_filter: CompanyFilter) -> dict[str, object]:
    """Return what the templates of reports need."""
    company = company_filter.selected_id or ALL_COMPANIES
    return {
        "company_filter": company_filter,
        "about": _company_names(company_filter),
        "draw": draw,
        "format_figure": format_figure,
        "report_url": partial(build_url, company=company),
        "drill_url": partial(_drill_url, company),
        "link_of": lambda report: partial(_drill_url, company, report.name),
        "cell_url": partial(_cell_url, company),
    }


def _company_names(company_filter: CompanyFilter) -> str:
    shown = company_filter.shown
    return shown[0].name if len(shown) == 1 else f"{len(shown)} companies"


def _drill_url(company: int | str, report: str, drill: Drill) -> str:
    """Return the page with the invoices behind a figure."""
    if drill.row:
        return build_url(f"/reports/{report}/invoices", company=company, row=drill.row, column=drill.column)
    return build_url("/invoices", **{"company": company, **drill.filters})


def _cell_url(company: int | str, report: Report[ReportRow], row: ReportRow, key: str) -> str:
    """Return the address of what a cell names, or of the invoices behind its figure; "" for neither."""
    if isinstance(row, BehindRow | CustomerAgeingRow) and key == "customer" and row.customer_id:
        return entity_url(row.connection_id, "customers", row.customer_id)
    if isinstance(row, BehindRow) and key == "invoice" and row.invoice_id:
        return entity_url(row.connection_id, "invoices", row.invoice_id)
    drill = row.drill(key)
    return _drill_url(company, report.name, drill) if drill is not None else ""


def _report_scope(request: PageRequest, session: Session) -> tuple[CompanyFilter, Scope]:
    company_filter = request.company_filter(session)
    return company_filter, Scope(company_filter.shown, request.now)


_BEHIND = "/reports/{report}/invoices"
ROUTES = (
    Route("GET", "/reports", show_overview),
    Route("GET", "/reports.pdf", export_overview),
    Route("GET", "/reports/{report}.csv", partial(export_csv, build_report)),
    Route("GET", "/reports/{report}.pdf", partial(export_pdf, build_report)),
    Route("GET", "/reports/{report}", partial(show_report, build_report)),
    Route("GET", f"{_BEHIND}.csv", _of_figure(partial(export_csv, build_behind))),
    Route("GET", f"{_BEHIND}.pdf", _of_figure(partial(export_pdf, build_behind))),
    Route("GET", _BEHIND, _of_figure(partial(show_report, build_behind))),
)
