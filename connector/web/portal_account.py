"""The documents of the customer portal that cover many invoices: the statement of account, and all PDFs at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from zipfile import ZIP_STORED, ZipFile

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from connector.db.engine import reading
from connector.db.money import from_e4
from connector.emails.portal_links import PortalVisitor
from connector.portal import documents
from connector.portal.account_statement import AccountStatement, load_statements_of_account
from connector.portal.customer_page import CustomerPage, build_customer_page
from connector.portal.documents import InvoiceFile
from connector.web.portal_guard import PageHandler, PortalForm, PortalGuard, error_page, pdf_response
from connector.web.portal_texts import PortalTexts
from connector.web.rendering import render
from providers.import_lock import IMPORT_LOCK
from providers.mailer import Attachment

_MONTHS = 3  # of the period that is shown where none is asked for
_PERIOD_MAX = timedelta(days=2 * 366)
SHOWN_MAX = 120  # entries on the page, which stays below 60 kB; the PDF has them all
_PDF_ENTRIES_MAX = 1500


@dataclass(frozen=True, slots=True)
class _Period:
    """The period that is asked for, and whether it can be shown."""

    from_on: date
    until_on: date
    is_valid: bool = True


def _get_account(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    page, period = _build_page(guard, visitor, request)
    statements = _load(guard, visitor, period) if period.is_valid else []
    html = render(
        "portal_account.html",
        page=page,
        t=PortalTexts(page),
        period=period,
        statements=statements,
        shown_max=SHOWN_MAX // max(1, len(statements)),
        problem="" if period.is_valid else "error_period",
        base=f"/c/{request.path_params['token']}",
        from_e4=from_e4,
    )
    return HTMLResponse(html, status_code=200 if period.is_valid else 422)


def _get_account_pdf(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    page, period = _build_page(guard, visitor, request)
    statements = _load(guard, visitor, period) if period.is_valid else []
    currency = str(request.path_params["currency"])
    statement = next((each for each in statements if each.currency == currency), None)
    if statement is None or len(statement.entries) > _PDF_ENTRIES_MAX:
        return error_page(request, 404, "account", "error_period")
    with IMPORT_LOCK:
        from connector.portal.account_statement_pdf import draw_account_statement  # noqa: PLC0415 - 40 MiB

    pdf = draw_account_statement(statement, company=page.company, customer=page.customer, language=page.language)
    return pdf_response(pdf.content, pdf.filename)


def _get_all_pdfs(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    """Return the PDFs of all open invoices in one file, each fetched while the one before it is being sent."""
    found = documents.iterate_invoice_pdfs(guard.app, visitor, may_call=lambda: guard.can_call_ledger(visitor))
    missing: list[str] = []
    first = None
    for each in found:  # a page says that there are none, where a file could no longer
        if (first := each.pdf) is not None:
            break
        missing.append(each.number)
    if first is None:
        return error_page(request, 503, "all_pdfs", "error_try_later")
    texts = PortalTexts(build_customer_page(guard.app, visitor, request.headers.get("accept-language", "")))
    headers = {"Content-Disposition": 'attachment; filename="invoices.zip"'}
    content = _zip(first, found, missing, texts("zip_incomplete"))
    return StreamingResponse(content, media_type="application/zip", headers=headers)


PAGES: tuple[tuple[str, str, PageHandler], ...] = (
    ("GET", "/c/{token}/account", _get_account),
    ("GET", "/c/{token}/account/{currency}.pdf", _get_account_pdf),
    ("GET", "/c/{token}/invoices.zip", _get_all_pdfs),
)


def _build_page(guard: PortalGuard, visitor: PortalVisitor, request: Request) -> tuple[CustomerPage, _Period]:
    page = build_customer_page(guard.app, visitor, request.headers.get("accept-language", ""))
    return page, _parse_period(request, page.today)


def _parse_period(request: Request, today: date) -> _Period:
    month = today.month - (_MONTHS - 1)
    default = (
        today.replace(day=1, month=month) if month > 0 else today.replace(year=today.year - 1, day=1, month=month + 12)
    )
    try:
        from_on = date.fromisoformat(request.query_params.get("from") or default.isoformat())
        until_on = date.fromisoformat(request.query_params.get("until") or today.isoformat())
    except ValueError:
        return _Period(default, today, is_valid=False)
    return _Period(from_on, until_on, is_valid=timedelta(0) <= until_on - from_on <= _PERIOD_MAX and until_on <= today)


def _load(guard: PortalGuard, visitor: PortalVisitor, period: _Period) -> list[AccountStatement]:
    with reading(guard.app.engine) as session:
        return load_statements_of_account(session, visitor, period.from_on, period.until_on, guard.app.now())


class _Pipe:
    """What a zip file is written to: it keeps only what was not sent yet."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._position = 0

    def write(self, content: bytes) -> int:
        """Take the next bytes."""
        self._waiting.append(bytes(content))
        self._position += len(content)
        return len(content)

    def tell(self) -> int:
        """Return how much was written."""
        return self._position

    def flush(self) -> None:
        """Do nothing: what was written is taken out between two files."""

    def close(self) -> None:
        """Do nothing: it holds no file."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        content, self._waiting = b"".join(self._waiting), []
        return content


def _zip(first: Attachment, others: Iterator[InvoiceFile], missing: list[str], explanation: str) -> Iterator[bytes]:
    """Yield a zip file piece by piece; it ends with a list of the invoices that are not in it."""
    pipe, names = _Pipe(), set[str]()

    def add(archive: ZipFile, pdf: Attachment) -> bytes:
        name, count = pdf.filename, 2
        while name in names:
            name, count = f"{pdf.filename.removesuffix('.pdf')}-{count}.pdf", count + 1
        names.add(name)
        archive.writestr(name, pdf.content)
        return pipe.take()

    with ZipFile(pipe, "w", ZIP_STORED) as archive:
        yield add(archive, first)
        for each in others:
            if each.pdf is not None:
                yield add(archive, each.pdf)
            else:
                missing.append(each.number)
        if missing:
            archive.writestr("NOT-COMPLETE.txt", "\r\n".join([explanation, "", *missing, ""]))
    yield pipe.take()
