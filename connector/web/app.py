"""The web app of one installation: health, metrics, the consent callback, and the pages behind their gate."""

from __future__ import annotations

from typing import Protocol

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from connector.database import reading
from connector.installation import Installation
from connector.web import (
    account,
    companies,
    customers,
    invoices,
    log,
    myself,
    outbox,
    policy,
    privacy,
    reports,
    runs,
    team,
    today,
    words,
    work,
)
from connector.web.api.app import PREFIX, make_api
from connector.web.callback import answer_callback
from connector.web.guard import Guard, hosts_of
from connector.web.ledger_webhooks import add_ledger_webhooks
from connector.web.metrics import metrics_text
from connector.web.pages import ICON, SCRIPT, STYLE, render
from connector.web.portal import add_portal
from connector.web.routes import add_routes, cookie_name
from connector.web.sendgrid import add_webhooks
from connector.web.settings import ROUTES as SETTINGS
from connector.web.stops import add_stops

ROUTES = (
    *account.ROUTES,
    *team.ROUTES,
    *myself.ROUTES,
    *today.ROUTES,
    *log.ROUTES,
    *runs.ROUTES,
    *outbox.ROUTES,
    *companies.ROUTES,
    *customers.ROUTES,
    *privacy.ROUTES,
    *invoices.ROUTES,
    *work.ROUTES,
    *policy.ROUTES,
    *words.ROUTES,
    *reports.ROUTES,
    *SETTINGS,
)


class Heart(Protocol):
    """What the app asks of the scheduler."""

    def alive(self) -> bool:
        """Tell whether it wakes as it should."""
        ...


def make_app(installation: Installation, heart: Heart, *more_hosts: str) -> FastAPI:
    """Make the web app; ``more_hosts`` are names it answers to besides its own address."""
    app = FastAPI(title="duewell", openapi_url=None, docs_url=None, redoc_url=None)
    base = installation.settings.duewell_base_url
    app.add_middleware(Guard, hosts=hosts_of(base, *more_hosts), https=base.startswith("https://"))
    app.add_exception_handler(HTTPException, _not_here)
    _add_checks(app, installation, heart)
    add_stops(app, installation)
    add_portal(app, installation)
    add_webhooks(app, installation)
    add_ledger_webhooks(app, installation)
    _add_open_pages(app, installation)
    app.mount(PREFIX, make_api(installation))
    add_routes(app, installation, ROUTES)
    return app


def _add_checks(app: FastAPI, installation: Installation, heart: Heart) -> None:
    @app.get("/healthz")
    def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        checks = {"database": _database_answers(installation), "scheduler": heart.alive()}
        return JSONResponse(checks, status_code=200 if all(checks.values()) else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        numbers = metrics_text(installation, scheduler_alive=heart.alive())
        return Response(numbers, media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_open_pages(app: FastAPI, installation: Installation) -> None:
    @app.get("/callback/{provider_name}")
    def callback(provider_name: str, request: Request) -> HTMLResponse:
        session_token = request.cookies.get(cookie_name(installation), "")
        answer = answer_callback(installation, provider_name, request.url.query, session_token)
        return HTMLResponse(answer.page, status_code=answer.code)

    @app.get("/static/style.css")
    def style() -> Response:
        return Response(STYLE, media_type="text/css")

    @app.get("/static/passkeys.js")
    def script() -> Response:
        return Response(SCRIPT, media_type="text/javascript")

    @app.get("/static/icon.svg")
    def icon() -> Response:
        return Response(ICON, media_type="image/svg+xml")


def _database_answers(installation: Installation) -> bool:
    try:
        with reading(installation.engine) as session:
            session.execute(text("SELECT 1 FROM connection LIMIT 1"))
    except SQLAlchemyError:
        return False
    return True


async def _not_here(_request: Request, problem: Exception) -> Response:
    code = problem.status_code if isinstance(problem, HTTPException) else 500
    title = "Not found" if code == 404 else "Not possible"
    return HTMLResponse(
        render("answer.html", title=title, lines=["There is nothing here."], first=True), status_code=code
    )
