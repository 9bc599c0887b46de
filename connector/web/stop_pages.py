"""The pages behind links in mails: anybody who holds one may stop what it names, without signing in.

Opening a link changes nothing. The button does, and so does the one-click POST of mail programs (RFC 8058), which
comes without cookies; the token in the link is all the proof there is, or needs to be. The pages speak the language of
the mail; where nobody knows it, the browser's.
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

PageHandler = Callable[[AppContext, str, Language], Response]  # to a token, and what the browser reads
_HEADERS = {"X-Robots-Tag": "noindex"}


def add_stop_pages(web_app: FastAPI, app: AppContext) -> None:
    """Add the pages."""
    pages = (
        ("/stop/{token}", _confirm_reminders, _stop_reminders),
        ("/stop-mail/{token}", _confirm_email, _stop_email),
    )
    for path, asked, done in pages:
        web_app.add_route(path, _endpoint(app, asked), methods=["GET"], include_in_schema=False)
        web_app.add_route(path, _endpoint(app, done), methods=["POST"], include_in_schema=False)


def _endpoint(app: AppContext, handler: PageHandler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:  # a POST's body says nothing that the path does not
        accepted = browser_language(request.headers.get("accept-language", ""))
        return await run_in_threadpool(handler, app, request.path_params["token"], accepted)

    return endpoint


def _confirm_reminders(app: AppContext, token: str, accepted: Language) -> Response:
    subject = reminder_stops.find_stop(app, token)
    if subject is None:
        return _unknown_link(accepted)
    says = _StopTexts(subject, accepted)
    if subject.stopped:
        return _reminders_stopped(says)
    return says.render_page("reminders_title", "reminders_question", "reminders_detail", button="reminders_button")


def _stop_reminders(app: AppContext, token: str, accepted: Language) -> Response:
    subject = reminder_stops.stop_reminders(app, token)
    return _unknown_link(accepted) if subject is None else _reminders_stopped(_StopTexts(subject, accepted))


def _reminders_stopped(texts: _StopTexts) -> Response:
    return texts.render_page("reminders_done_title", "reminders_done_text", "reminders_done_detail")


def _confirm_email(app: AppContext, token: str, accepted: Language) -> Response:
    about = email_stops.find_stop(app, token)
    if about is None:
        return _unknown_link(accepted)
    says = _StopTexts(about, accepted)
    if about.too_late_reason:
        return says.render_page("email_too_late_title", plain=(about.reason, about.too_late_reason))
    return says.render_page("email_title", "email_question", "email_detail", button="email_title")


def _stop_email(app: AppContext, token: str, accepted: Language) -> Response:
    about = email_stops.stop_email(app, token)
    if about is None:
        return _unknown_link(accepted)
    says = _StopTexts(about, accepted)
    if about.too_late_reason:
        return says.render_page("email_too_late_title", plain=(about.reason, about.too_late_reason), code=409)
    return says.render_page("email_done_title", "email_done_text")


class _StopTexts:
    """The words of these pages in the language of the mail that brought somebody here, filled."""

    def __init__(self, target: reminder_stops.ReminderStop | email_stops.EmailStop, accepted: Language) -> None:
        self._language = language_of(target.language) if target.language else accepted
        self._texts: dict[str, str] = load_texts(self._language.code)["stop"]
        self._facts = {name: str(fact) for name, fact in target._asdict().items()}

    def render_page(
        self, title: str, *lines: str, plain: Sequence[str] = (), button: str = "", code: int = 200
    ) -> Response:
        """Say a page; ``plain`` are sentences that are said already."""
        said = [*(render_line(self._texts[each], self._facts) for each in lines), *plain]
        return _render_link_page(
            self._language, self._texts[title], said, self._texts[button] if button else "", code=code
        )


def _unknown_link(accepted: Language) -> Response:
    texts = load_texts(accepted.code)["portal"]
    return _render_link_page(accepted, texts["unknown"], [texts["unknown_detail"]], code=404)


def _render_link_page(
    language: Language, title: str, lines: list[str], button: str = "", *, code: int = 200
) -> Response:
    html = render("link_page.html", lang=language.code, title=title, lines=lines, button=button)
    return HTMLResponse(html, code, headers=_HEADERS)
