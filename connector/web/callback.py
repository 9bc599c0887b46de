"""Handles the browser's return from a consent page, for both ``serve`` and ``connect``."""

from __future__ import annotations

from typing import NamedTuple

from connector.app_context import AppContext
from connector.auth.sessions import session_hash
from connector.connections.consent import ConsentError, finish_consent, redirect_uri
from connector.vocabulary.labels import label
from connector.web.rendering import render


class CallbackResult(NamedTuple):
    """The status and page for the browser, and the same as text for a terminal."""

    status_code: int
    page: str
    text: str


def handle_callback(app: AppContext, provider_name: str, query: str, session_token: str = "") -> CallbackResult:
    """Finish a consent and store its connections; ``session_token`` is that of a signed-in browser."""
    if provider_name not in app.providers:
        return _build_result(404, "Not found", ["There is no such accounting system."])
    try:
        callback_url = f"{redirect_uri(app, provider_name)}?{query}"
        rows = finish_consent(app, provider_name, callback_url, session_hash=session_hash(session_token))
    except ConsentError as error:
        return _build_result(400, "Not connected", [str(error)], link="/companies" if session_token else "")
    lines = [f"{row.name} is connected (id {row.id}). Mode: {label(row.mode)}." for row in rows]
    lines.append("duewell only reads and plans until you switch to Approve or Live.")
    if not session_token:
        lines.append("You can close this page.")
        return _build_result(200, "Connected", lines)
    return _build_result(200, "Connected", lines, link=f"/companies/{rows[0].id}" if len(rows) == 1 else "/companies")


def _build_result(status_code: int, title: str, lines: list[str], link: str = "") -> CallbackResult:
    return CallbackResult(status_code, render("message.html", title=title, lines=lines, link=link), " ".join(lines))
