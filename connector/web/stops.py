"""The pages behind links in mails: anybody who holds one may stop what it names, without signing in.

Opening a link changes nothing. The button does, and so does the one-click POST of mail programs (RFC 8058), which
comes without cookies; the token in the link is all the proof there is, or needs to be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from connector.installation import Installation
from connector.letters import stop, stop_mail
from connector.web.pages import render

Answer = Callable[[Installation, str], Response]
_HEADERS = {"X-Robots-Tag": "noindex"}


def add_stops(app: FastAPI, installation: Installation) -> None:
    """Add the pages."""
    pages = (("/stop/{token}", _ask_reminders, _stop_reminders), ("/stop-mail/{token}", _ask_mail, _stop_mail))
    for path, asked, done in pages:
        app.add_route(path, _page(installation, asked), methods=["GET"], include_in_schema=False)
        app.add_route(path, _page(installation, done), methods=["POST"], include_in_schema=False)


def _page(
    installation: Installation, answer: Callable[[Installation, str], Response]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:  # a POST's body says nothing that the path does not
        return await run_in_threadpool(answer, installation, request.path_params["token"])

    return endpoint


def _ask_reminders(installation: Installation, token: str) -> Response:
    subject = stop.look(installation, token)
    if subject is None:
        return _unknown()
    if subject.stopped:
        return _stopped(subject)
    asked = f"Do you want {subject.company} to send no more payment reminders to {subject.customer} by mail?"
    rest = "What is owed stays owed, and invoices still reach you. If something about them is not right, just reply to"
    return _answer(
        "Stop these reminders", [asked, f"{rest} the mail instead: a person reads it."], "Stop the reminders"
    )


def _stop_reminders(installation: Installation, token: str) -> Response:
    subject = stop.stop_reminders(installation, token)
    return _unknown() if subject is None else _stopped(subject)


def _stopped(subject: stop.Subject) -> Response:
    done = f"{subject.company} sends no more payment reminders to {subject.customer} by mail."
    return _answer("The reminders are stopped", [done, "They have been told, and may call you about what is open."])


def _ask_mail(installation: Installation, token: str) -> Response:
    about = stop_mail.look(installation, token)
    if about is None:
        return _unknown()
    if about.too_late:
        return _answer("This mail cannot be stopped", [about.why, about.too_late])
    asked = f"{about.company} is about to mail {about.customer}. {about.why}"
    return _answer("Stop this mail", [asked, "The next step comes in its time."], "Stop this mail")


def _stop_mail(installation: Installation, token: str) -> Response:
    about = stop_mail.stop_mail(installation, token)
    if about is None:
        return _unknown()
    if about.too_late:
        return _answer("This mail cannot be stopped", [about.why, about.too_late], code=409)
    return _answer("The mail is stopped", [f"{about.customer} does not get it. The next step comes in its time."])


def _unknown() -> Response:
    return _answer("This link is not known", ["Perhaps it was cut off. Just reply to the mail it came in."], code=404)


def _answer(title: str, lines: list[str], button: str = "", *, code: int = 200) -> Response:
    return HTMLResponse(render("stop.html", title=title, lines=lines, button=button), code, headers=_HEADERS)
