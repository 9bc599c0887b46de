"""Handles the browser's return from a consent page, for both ``serve`` and ``connect``."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs

from connector.app_context import AppContext
from connector.auth.sessions import session_hash
from connector.connections.consent import ConsentError, consent_outcome, finish_consent, redirect_uri
from connector.connections.mailboxes import find_mailbox, mailer_name
from connector.vocabulary.labels import label
from connector.web.rendering import render


class CallbackResult(NamedTuple):
    """The status and page for the browser, and the same as text for a terminal."""

    status_code: int
    page: str
    text: str


def handle_callback(app: AppContext, provider_name: str, query: str, session_token: str = "") -> CallbackResult:
    """Finish a consent and store its connections; ``session_token`` is that of a signed-in browser."""
    if app.find_system(provider_name) is None:
        return _build_result(404, "Not found", ["There is no such service."])
    is_mailbox = provider_name in app.mailboxes
    try:
        callback_url = f"{redirect_uri(app, provider_name)}?{query}"
        rows = finish_consent(app, provider_name, callback_url, session_hash=session_hash(session_token))
    except ConsentError as error:
        return _build_result(
            400, "Not connected", [str(error)], link=_start_page(is_mailbox=is_mailbox) if session_token else ""
        )
    if is_mailbox:
        outcome = consent_outcome(app, (parse_qs(query).get("state") or [""])[0]) or {}
        return _mailbox_result(app, provider_name, outcome.get("notes", []), is_signed_in=bool(session_token))
    lines = [f"{row.name} is connected (id {row.id}). Mode: {label(row.mode)}." for row in rows]
    lines.append("duewell only reads and plans until you switch to Approve or Live.")
    if not session_token:
        lines.append("You can close this page.")
        return _build_result(200, "Connected", lines)
    return _build_result(200, "Connected", lines, link=f"/companies/{rows[0].id}" if len(rows) == 1 else "/companies")


def _mailbox_result(app: AppContext, provider_name: str, notes: list[str], *, is_signed_in: bool) -> CallbackResult:
    row, title = find_mailbox(app, provider_name), app.mailboxes[provider_name].title
    lines = [
        f"The mailbox {row.address if row is not None else ''} ({title}) is connected.",
        "Emails are sent from it, and replies to them are read in it. Other messages are not kept."
        if mailer_name(app) == provider_name
        else f"Replies are read in it. Emails are sent by another service until you set MAIL_SERVICE={provider_name}.",
        *notes,
    ]
    if not is_signed_in:
        lines.append("You can close this page.")
    return _build_result(200, "Connected", lines, link=_start_page(is_mailbox=True) if is_signed_in else "")


def _start_page(*, is_mailbox: bool) -> str:
    """Return the page on which consents are started."""
    return "/settings/sender" if is_mailbox else "/companies"


def _build_result(status_code: int, title: str, lines: list[str], link: str = "") -> CallbackResult:
    return CallbackResult(status_code, render("message.html", title=title, lines=lines, link=link), " ".join(lines))
