"""The pages behind the links in emails that stop reminders or one email; whoever has the link needs no sign-in.

Opening a link changes nothing. The button does, and so does the one-click POST of email programs (RFC 8058), which
comes without cookies: the token in the link is all the proof there is. The pages are in the language of the email, or
of the browser where that is not known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from connector.app_context import AppContext
from connector.emails.inbound import email_stops, reminder_stops
from connector.emails.layout import load_texts, render_line
from connector.languages import Language, browser_language, language_of
from connector.web.rendering import render

PageHandler = Callable[[AppContext, str, Language], Response]  # of the token and the browser's language
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
    async def endpoint(request: Request) -> Response:  # the body of a POST adds nothing to the path
        language = browser_language(request.headers.get("accept-language", ""))
        return await run_in_threadpool(handler, app, request.path_params["token"], language)

    return endpoint


def _confirm_reminders(app: AppContext, token: str, browser: Language) -> Response:
    stop = reminder_stops.find_stop(app, token)
    if stop is None:
        return _unknown_link(browser)
    page = _StopPage(stop, browser)
    if stop.stopped:
        return _reminders_stopped(page)
    return page.render("reminders_title", "reminders_question", "reminders_detail", button="reminders_button")


def _stop_reminders(app: AppContext, token: str, browser: Language) -> Response:
    stop = reminder_stops.stop_reminders(app, token)
    return _unknown_link(browser) if stop is None else _reminders_stopped(_StopPage(stop, browser))


def _reminders_stopped(page: _StopPage) -> Response:
    return page.render("reminders_done_title", "reminders_done_text", "reminders_done_detail")


def _confirm_email(app: AppContext, token: str, browser: Language) -> Response:
    stop = email_stops.find_stop(app, token)
    if stop is None:
        return _unknown_link(browser)
    page = _StopPage(stop, browser)
    if stop.too_late_reason:
        return page.render("email_too_late_title", plain=(stop.reason, stop.too_late_reason))
    return page.render("email_title", "email_question", "email_detail", button="email_button")


def _stop_email(app: AppContext, token: str, browser: Language) -> Response:
    stop = email_stops.stop_email(app, token)
    if stop is None:
        return _unknown_link(browser)
    page = _StopPage(stop, browser)
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


def _unknown_link(language: Language) -> Response:
    texts = load_texts(language.code).portal
    return _render_link_page(language, texts["unknown"], [texts["unknown_detail"]], code=404)


def _render_link_page(
    language: Language, title: str, lines: list[str], button: str = "", *, code: int = 200
) -> Response:
    html = render("link_page.html", lang=language.code, title=title, lines=lines, button=button)
    return HTMLResponse(html, code, headers=_HEADERS)
