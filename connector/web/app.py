"""The web app: health checks, metrics, the consent callback, webhooks, the customer portal, the API and the pages."""

from __future__ import annotations

from typing import Protocol

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from connector.api.allowed_methods import allowed_methods
from connector.api.app import PREFIX, build_api
from connector.api.problems import NOT_FOUND, problem_response
from connector.app_context import AppContext
from connector.db.engine import reading
from connector.web import (
    bank,
    bank_details,
    brand,
    companies,
    customers,
    email_templates,
    invoices,
    log,
    my_account,
    outbox,
    policy,
    policy_document,
    privacy,
    reports,
    review,
    runs,
    search,
    setup,
    sign_in,
    sso,
    statutory_rates,
    tasks,
    today,
)
from connector.web.callback import handle_callback
from connector.web.inbound_email import add_inbound_email
from connector.web.ledger_webhooks import add_ledger_webhooks
from connector.web.lists.routes import ROUTES as LISTS
from connector.web.live import add_live
from connector.web.metrics import metrics_text
from connector.web.portal import add_portal
from connector.web.rendering import (
    BRAND_SCRIPT,
    ICON,
    LIST_SCRIPT,
    PASSKEY_SCRIPT,
    POLICY_SCRIPT,
    REVIEW_SCRIPT,
    STYLE,
    render,
)
from connector.web.request_limits import RequestLimits
from connector.web.routes import add_routes, cookie_name
from connector.web.security import SecurityMiddleware, trusted_hosts
from connector.web.sendgrid_webhooks import add_sendgrid_webhooks
from connector.web.settings import ROUTES as SETTINGS
from connector.web.stop_pages import add_stop_pages

ROUTES = (
    *sign_in.ROUTES,
    *sso.ROUTES,
    *my_account.ROUTES,
    *today.ROUTES,
    *setup.ROUTES,
    *log.ROUTES,
    *runs.ROUTES,
    *outbox.ROUTES,
    *LISTS,
    *review.ROUTES,
    *search.ROUTES,
    *companies.ROUTES,
    *bank.ROUTES,
    *bank_details.ROUTES,
    *brand.ROUTES,
    *customers.ROUTES,
    *privacy.ROUTES,
    *invoices.ROUTES,
    *tasks.ROUTES,
    *policy.ROUTES,
    *policy_document.ROUTES,
    *statutory_rates.ROUTES,
    *email_templates.ROUTES,
    *reports.ROUTES,
    *SETTINGS,
)


class SchedulerStatus(Protocol):
    """What the web app asks of the scheduler."""

    def is_alive(self) -> bool:
        """Return whether the scheduler wakes up on time."""
        ...


def make_app(app: AppContext, scheduler: SchedulerStatus | None, *extra_hosts: str) -> FastAPI:
    """Build the web app; ``extra_hosts`` are host names it answers to besides its base URL's.

    ``scheduler`` is None where this process syncs nothing.
    """
    web_app = FastAPI(title="duewell", openapi_url=None, docs_url=None, redoc_url=None)
    base = app.settings.duewell_base_url
    web_app.add_middleware(RequestLimits)
    web_app.add_middleware(
        SecurityMiddleware, hosts=trusted_hosts(base, *extra_hosts), https=base.startswith("https://")
    )
    web_app.add_exception_handler(HTTPException, _render_http_error)
    _add_checks(web_app, app, scheduler)
    add_stop_pages(web_app, app)
    add_live(web_app, app)
    add_portal(web_app, app)
    add_sendgrid_webhooks(web_app, app)
    add_inbound_email(web_app, app)
    add_ledger_webhooks(web_app, app)
    _add_public_pages(web_app, app)
    web_app.mount(PREFIX, build_api(app))
    add_routes(web_app, app, ROUTES)
    return web_app


def _add_checks(web_app: FastAPI, app: AppContext, scheduler: SchedulerStatus | None) -> None:
    @web_app.get("/healthz")
    def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @web_app.get("/readyz")
    def readyz() -> JSONResponse:
        checks = {"database": _is_database_reachable(app)}
        if scheduler is not None:
            checks["scheduler"] = scheduler.is_alive()
        return JSONResponse(checks, status_code=200 if all(checks.values()) else 503)

    @web_app.get("/metrics")
    def metrics() -> Response:
        content = metrics_text(app, scheduler_alive=None if scheduler is None else scheduler.is_alive())
        return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_public_pages(web_app: FastAPI, app: AppContext) -> None:
    @web_app.get("/callback/{provider_name}")
    def callback(provider_name: str, request: Request) -> HTMLResponse:
        session_token = request.cookies.get(cookie_name(app), "")
        result = handle_callback(app, provider_name, request.url.query, session_token)
        return HTMLResponse(result.page, status_code=result.status_code)

    @web_app.get("/static/style.css")
    def style() -> Response:
        return Response(STYLE, media_type="text/css")

    @web_app.get("/static/passkeys.js")
    def script() -> Response:
        return Response(PASSKEY_SCRIPT, media_type="text/javascript")

    @web_app.get("/static/lists.js")
    def list_script() -> Response:
        return Response(LIST_SCRIPT, media_type="text/javascript")

    @web_app.get("/static/review.js")
    def review_script() -> Response:
        return Response(REVIEW_SCRIPT, media_type="text/javascript")

    @web_app.get("/static/brand.js")
    def brand_script() -> Response:
        return Response(BRAND_SCRIPT, media_type="text/javascript")

    @web_app.get("/static/policy.js")
    def policy_script() -> Response:
        return Response(POLICY_SCRIPT, media_type="text/javascript")

    @web_app.get("/static/icon.svg")
    def icon() -> Response:
        return Response(ICON, media_type="image/svg+xml")


def _is_database_reachable(app: AppContext) -> bool:
    try:
        with reading(app.engine) as session:
            session.execute(text("SELECT 1 FROM connection LIMIT 1"))
    except SQLAlchemyError:
        return False
    return True


async def _render_http_error(request: Request, error: Exception) -> Response:
    status_code = error.status_code if isinstance(error, HTTPException) else 500
    if request.url.path.startswith(f"{PREFIX}/"):  # an address with a line break, which no mount matches
        return problem_response(NOT_FOUND, "Not found.")
    headers = {"Allow": allowed_methods(request)} if status_code == 405 else None
    title = "Not found" if status_code == 404 else "Not possible"
    lines = ["There is nothing at this address."]
    page = render("message.html", title=title, lines=lines, link="/", link_text="Go to Today")
    return HTMLResponse(page, status_code=status_code, headers=headers)
