"""The pages behind the links in emails that stop reminders or one email; whoever has the link needs no sign-in.

Opening a link changes nothing. The button does, and so does the one-click POST of email programs (RFC 8058), which
comes without cookies: the token in the link is all the proof there is. An email to
several people has no one click, because nobody could tell whose it is: the page asks. The pages are in the language of
the email, or of the browser where that is not known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from connector.app_context import AppContext
from connector.emails.inbound import email_stops, reminder_stops
from connector.emails.inbound.stopped_addresses import MARK_LENGTH
from connector.emails.layout import load_texts, render_line
from connector.languages import Language, browser_language, language_of
from connector.web.bodies import BodyTooLarge, read_whole
from connector.web.rendering import render

_BODY_BYTES_MAX = 4_000
_ADDRESS_MAX = 254


class StopRequest(NamedTuple):
    """What a request to one of the pages says: ``reader`` names one in the link, ``form`` is what was sent."""

    token: str
    reader: str
    form: Mapping[str, str]
    browser: Language


PageHandler = Callable[[AppContext, StopRequest], Response]
_HEADERS = {"X-Robots-Tag": "noindex"}


def add_stop_pages(web_app: FastAPI, app: AppContext) -> None:
    """Register the routes."""
    pages = (
        ("/stop/{token}", _confirm_reminders, _stop_reminders),
        ("/stop-mail/{token}", _confirm_email, _stop_email),
    )
    for path, show, act in pages:
        web_app.add_route(path, _endpoint(app, show), methods=["GET"], include_in_schema=False)
        web_app.add_route(path, _endpoint(app, act), methods=["POST"], include_in_schema=False)


def _endpoint(app: AppContext, handler: PageHandler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            body = await read_whole(request, _BODY_BYTES_MAX) if request.method == "POST" else b""
        except (BodyTooLarge, ClientDisconnect):
            body = b""
        said = StopRequest(
            request.path_params["token"],
            request.query_params.get("to", "")[:MARK_LENGTH],
            {name: value[:_ADDRESS_MAX] for name, value in parse_qsl(body.decode(errors="replace"))},
            browser_language(request.headers.get("accept-language", "")),
        )
        return await run_in_threadpool(handler, app, said)

    return endpoint


def _confirm_reminders(app: AppContext, said: StopRequest) -> Response:
    stop = reminder_stops.find_stop(app, said.token, said.reader)
    return _unknown_link(said.browser) if stop is None else _show_reminders(stop, said)


def _stop_reminders(app: AppContext, said: StopRequest) -> Response:
    """Stop all reminders, or one reader's: a click in an email program sends no choice, and is its reader's own."""
    if said.form.get("scope") == "all":
        stop = reminder_stops.stop_reminders(app, said.token)
    else:
        stop = reminder_stops.stop_reader(app, said.token, said.reader, said.form.get("address", ""))
    return _unknown_link(said.browser) if stop is None else _show_reminders(stop, said, was_sent=True)


def _show_reminders(stop: reminder_stops.ReminderStop, said: StopRequest, *, was_sent: bool = False) -> Response:
    page = _StopPage(stop, said.browser)
    if stop.stopped:
        return page.render("reminders_done_title", "reminders_done_text", "reminders_done_detail")
    if stop.address_stopped:
        return page.render("reminders_done_title", "reminders_one_done_text", "reminders_one_done_detail")
    if stop.is_only_reader:
        return page.render("reminders_title", "reminders_question", "reminders_detail", button="reminders_button")
    return page.ask_whose(stop, code=422 if was_sent else 200)


def _confirm_email(app: AppContext, said: StopRequest) -> Response:
    stop = email_stops.find_stop(app, said.token)
    if stop is None:
        return _unknown_link(said.browser)
    page = _StopPage(stop, said.browser)
    if stop.too_late_reason:
        return page.render("email_too_late_title", plain=(stop.reason, stop.too_late_reason))
    return page.render("email_title", "email_question", "email_detail", button="email_button")


def _stop_email(app: AppContext, said: StopRequest) -> Response:
    stop = email_stops.stop_email(app, said.token)
    if stop is None:
        return _unknown_link(said.browser)
    page = _StopPage(stop, said.browser)
    if stop.too_late_reason:
        return page.render("email_too_late_title", plain=(stop.reason, stop.too_late_reason), code=409)
    return page.render("email_done_title", "email_done_text")


class _StopPage:
    """A page in the language of the email whose link was opened."""

    def __init__(self, stop: reminder_stops.ReminderStop | email_stops.EmailStop, browser: Language) -> None:
        self._language = language_of(stop.language) if stop.language else browser
        self._texts = load_texts(self._language.code).stop
        self._values = {name: str(value) for name, value in stop._asdict().items()}

    def render(self, title: str, *lines: str, plain: Sequence[str] = (), button: str = "", code: int = 200) -> Response:
        """Render the page from the names of texts; ``plain`` are further sentences as they are."""
        paragraphs = [*(render_line(self._texts[line], self._values) for line in lines), *plain]
        label = self._texts[button] if button else ""
        return _render_link_page(self._language, self._texts[title], paragraphs, label, code=code)

    def ask_whose(self, stop: reminder_stops.ReminderStop, *, code: int) -> Response:
        """Render the question whether one reader wants no more reminders, or nobody at the customer does."""
        texts = {name: render_line(text, self._values) for name, text in self._texts.items() if name.startswith("remi")}
        problem = texts["reminders_unknown_address"] if stop.is_unknown else ""
        if code != HTTPStatus.OK and not problem:
            problem = load_texts(self._language.code).portal["error_contact_email"]
        html = render("stop_reminders.html", lang=self._language.code, t=texts, stop=stop, problem=problem)
        return HTMLResponse(html, code, headers=_HEADERS)


def _unknown_link(language: Language) -> Response:
    texts = load_texts(language.code).portal
    return _render_link_page(language, texts["unknown"], [texts["unknown_detail"]], code=404)


def _render_link_page(
    language: Language, title: str, lines: list[str], button: str = "", *, code: int = 200
) -> Response:
    html = render("link_page.html", lang=language.code, title=title, lines=lines, button=button)
    return HTMLResponse(html, code, headers=_HEADERS)
