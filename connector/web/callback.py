"""Answers the browser that comes back from a vendor's consent page, in ``serve`` and in ``connect`` alike."""

from __future__ import annotations

from typing import NamedTuple

from connector.app_context import AppContext
from connector.auth.sessions import session_hash
from connector.connections.consent import ConsentError, finish_consent, redirect_uri
from connector.web.rendering import render


class CallbackResult(NamedTuple):
    """The status and page for the browser, and the same in words for a terminal."""

    status_code: int
    page: str
    text: str


def handle_callback(app: AppContext, provider_name: str, query: str, session_token: str = "") -> CallbackResult:
    """Finish the consent and say how it went."""
    if provider_name not in app.providers:
        return _build_result(404, "Not found", ["There is no such ledger."])
    try:
        came_back = f"{redirect_uri(app, provider_name)}?{query}"
        rows = finish_consent(app, provider_name, came_back, session_hash=session_hash(session_token))
    except ConsentError as problem:
        return _build_result(400, "Not connected", [str(problem)], link="/companies" if session_token else "")
    lines = [f"{row.name} is connected (id {row.id}), in mode {row.mode}." for row in rows]
    lines.append("duewell only reads and plans until you switch it to approve or live.")
    if not session_token:
        lines.append("You may close this page.")
        return _build_result(200, "Connected", lines)
    return _build_result(200, "Connected", lines, link=f"/companies/{rows[0].id}" if len(rows) == 1 else "/companies")


def _build_result(status_code: int, title: str, lines: list[str], link: str = "") -> CallbackResult:
    return CallbackResult(status_code, render("message.html", title=title, lines=lines, link=link), " ".join(lines))
