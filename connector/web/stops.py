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

from connector.installation import Installation
from connector.letters import stop, stop_mail
from connector.letters.languages import Language, accepted_language, language_of
from connector.letters.mail_layout import phrase, words
from connector.web.pages import render

Answer = Callable[[Installation, str, Language], Response]  # to a token, and what the browser reads
_HEADERS = {"X-Robots-Tag": "noindex"}


def add_stops(app: FastAPI, installation: Installation) -> None:
    """Add the pages."""
    pages = (("/stop/{token}", _ask_reminders, _stop_reminders), ("/stop-mail/{token}", _ask_mail, _stop_mail))
    for path, asked, done in pages:
        app.add_route(path, _page(installation, asked), methods=["GET"], include_in_schema=False)
        app.add_route(path, _page(installation, done), methods=["POST"], include_in_schema=False)


def _page(installation: Installation, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:  # a POST's body says nothing that the path does not
        accepted = accepted_language(request.headers.get("accept-language", ""))
        return await run_in_threadpool(answer, installation, request.path_params["token"], accepted)

    return endpoint


def _ask_reminders(installation: Installation, token: str, accepted: Language) -> Response:
    subject = stop.look(installation, token)
    if subject is None:
        return _unknown(accepted)
    says = _Says(subject, accepted)
    if subject.stopped:
        return _stopped(says)
    return says.page("reminders", "reminders_what", "reminders_rest", button="reminders_button")


def _stop_reminders(installation: Installation, token: str, accepted: Language) -> Response:
    subject = stop.stop_reminders(installation, token)
    return _unknown(accepted) if subject is None else _stopped(_Says(subject, accepted))


def _stopped(says: _Says) -> Response:
    return says.page("reminders_done", "reminders_done_what", "reminders_done_rest")


def _ask_mail(installation: Installation, token: str, accepted: Language) -> Response:
    about = stop_mail.look(installation, token)
    if about is None:
        return _unknown(accepted)
    says = _Says(about, accepted)
    if about.too_late:
        return says.page("mail_late", plain=(about.why, about.too_late))
    return says.page("mail", "mail_what", "mail_rest", button="mail")


def _stop_mail(installation: Installation, token: str, accepted: Language) -> Response:
    about = stop_mail.stop_mail(installation, token)
    if about is None:
        return _unknown(accepted)
    says = _Says(about, accepted)
    if about.too_late:
        return says.page("mail_late", plain=(about.why, about.too_late), code=409)
    return says.page("mail_done", "mail_done_what")


class _Says:
    """The words of these pages in the language of the mail that brought somebody here, filled."""

    def __init__(self, about: stop.Subject | stop_mail.Stopped, accepted: Language) -> None:
        self._language = language_of(about.language) if about.language else accepted
        self._texts: dict[str, str] = words(self._language.code)["stop"]
        self._facts = {name: str(fact) for name, fact in about._asdict().items()}

    def page(self, title: str, *lines: str, plain: Sequence[str] = (), button: str = "", code: int = 200) -> Response:
        """Say a page; ``plain`` are sentences that are said already."""
        said = [*(phrase(self._texts[each], self._facts) for each in lines), *plain]
        return _answer(self._language, self._texts[title], said, self._texts[button] if button else "", code=code)


def _unknown(accepted: Language) -> Response:
    texts = words(accepted.code)["page"]
    return _answer(accepted, texts["unknown"], [texts["unknown_what"]], code=404)


def _answer(language: Language, title: str, lines: list[str], button: str = "", *, code: int = 200) -> Response:
    html = render("behind_a_link.html", lang=language.code, title=title, lines=lines, button=button)
    return HTMLResponse(html, code, headers=_HEADERS)
