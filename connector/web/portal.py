"""The customer's own page over HTTP: whoever holds the link in his mail may look and answer, without signing in.

Looking changes nothing: programs that scan mail open every link. The token in the path is all the proof there is, or
needs to be: no cookie is read or set, so no other site can answer in somebody's name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector.installation import Installation
from connector.letters.languages import Language, accepted_language, ordinary_spaces
from connector.letters.mail_layout import phrase, words
from connector.portal import answers, links, papers
from connector.portal.answers import Answer, NotAccepted
from connector.portal.links import Opened
from connector.portal.papers import NotNow
from connector.portal.picture import Open, Picture, picture, statement_paper
from connector.web.limits import Allowance
from connector.web.pages import render

_HEADERS = {
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_BODY_BYTES_MAX = 32 * 1024
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
NAMES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}
_DONE = {"done_paid", "done_promise", "done_wrong", "done_contact", "done_language", "done_again"}
_SHOWN = {*_DONE, "no_pay_link"}


class _Door:
    """What every request passes: whose link it is, and whether he and his address ask too often."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.by_address = Allowance(3000, _HOUR)  # a firm behind one address, or many behind one proxy
        self.guesses = Allowance(30, _HOUR)
        self.looks = Allowance(200, _HOUR)
        self.said = Allowance(20, _HOUR)
        self.said_today = Allowance(50, _DAY)
        self.papers = Allowance(40, _DAY)
        self.of_company = Allowance(papers.PAPERS_A_DAY, _DAY)

    def open(self, request: Request) -> Opened | Response:
        """Find whose page it is, or answer why there is none."""
        now, address = self.installation.now(), request.client.host if request.client else ""
        if not self.by_address.take(address, now):
            return _refusal(request, 429, "problem_much", "")
        who = links.opened(self.installation, str(request.path_params["token"]))
        if who is None:
            known = self.guesses.take(address, now)
            return _refusal(request, 404, "unknown", "unknown_what") if known else _refusal(request, 429, "unknown", "")
        if who.over:
            return _refusal(request, 410, "over", "over_what")
        if not self.looks.take(_name(who), now):
            return _refusal(request, 429, "problem_much", "")
        return who

    def may_ask_the_ledger(self, who: Opened) -> bool:
        """Tell whether the customer's wish may cost a call to his company's ledger."""
        now = self.installation.now()
        return self.papers.take(_name(who), now) and self.of_company.take(str(who.connection_id), now)


def add_portal(app: FastAPI, installation: Installation) -> None:
    """Add the pages."""
    door = _Door(installation)
    pages: tuple[tuple[str, str, Callable[[_Door, Opened, Request, bytes], Response]], ...] = (
        ("GET", "/c/{token}", _look),
        ("POST", "/c/{token}", _say),
        ("GET", "/c/{token}/statement/{currency}.pdf", _statement),
        ("GET", "/c/{token}/invoice/{invoice}.pdf", _invoice),
        ("POST", "/c/{token}/pay/{invoice}", _pay),
    )
    for method, path, page in pages:
        app.add_route(path, _endpoint(door, page), methods=[method], include_in_schema=False)


def _endpoint(
    door: _Door, page: Callable[[_Door, Opened, Request, bytes], Response]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_BYTES_MAX:
                return _refusal(request, 413, "problem_much", "")
        return await run_in_threadpool(answer, request, body)

    def answer(request: Request, body: bytes) -> Response:
        who = door.open(request)
        response = page(door, who, request, body) if isinstance(who, Opened) else who
        response.headers.update(_HEADERS)
        return response

    return endpoint


def _look(door: _Door, who: Opened, request: Request, _body: bytes) -> Response:
    said = request.query_params.get("said", "")
    return _page(door, who, request, said=said if said in _SHOWN else "")


def _say(door: _Door, who: Opened, request: Request, body: bytes) -> Response:
    now = door.installation.now()
    if not (door.said.take(_name(who), now) and door.said_today.take(_name(who), now)):
        return _page(door, who, request, problem="problem_much", code=429)
    form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=1000)
    try:
        said = answers.take(door.installation, who, _answer(form))
    except NotAccepted as problem:
        return _page(door, who, request, problem=str(problem), form=form, code=422)
    return _back(request, said)


def _statement(door: _Door, who: Opened, request: Request, _body: bytes) -> Response:
    currency = str(request.path_params["currency"])
    shown = picture(door.installation, who, request.headers.get("accept-language", ""))
    paper = statement_paper(door.installation, who, currency, shown.language.code)
    return _pdf(paper.content, paper.filename) if paper is not None else _refusal(request, 404, "nothing", "")


def _invoice(door: _Door, who: Opened, request: Request, _body: bytes) -> Response:
    if not door.may_ask_the_ledger(who):
        return _page(door, who, request, problem="problem_later", code=429)
    try:
        paper = papers.invoice_paper(door.installation, who, str(request.path_params["invoice"]))
    except NotNow:
        return _page(door, who, request, problem="problem_later", code=503)
    if paper is None:
        return _page(door, who, request, problem="problem_later", code=404)
    return _pdf(paper.content, paper.filename)


def _pay(door: _Door, who: Opened, request: Request, _body: bytes) -> Response:
    if not door.may_ask_the_ledger(who):
        return _page(door, who, request, problem="problem_later", code=429)
    try:
        link = papers.way_to_pay(door.installation, who, str(request.path_params["invoice"]))
    except NotNow:
        return _page(door, who, request, problem="problem_later", code=503)
    return _back(request, "" if link else "no_pay_link")


def _answer(form: dict[str, list[str]]) -> Answer:
    """Read the form; the button that was pressed says what it is about."""

    def sent(name: str) -> str:
        return next(iter(form.get(name, ())), "").strip()

    kind = sent("say")
    texts = {"wrong": "wrong_what", "contact": "contact_name", "language": "language"}
    return Answer(
        kind=kind,
        invoices=tuple(form.get("invoice", ())),
        on=_day(sent(f"{kind}_on")),
        text=sent(texts.get(kind, "")),
        email=sent("contact_email"),
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _page(
    door: _Door,
    who: Opened,
    request: Request,
    *,
    said: str = "",
    problem: str = "",
    form: dict[str, list[str]] | None = None,
    code: int = 200,
) -> Response:
    shown = picture(door.installation, who, request.headers.get("accept-language", ""))
    html = render(
        "portal.html",
        shown=shown,
        t=_Texts(shown),
        said=said,
        problem=problem,
        form={name: values[0] for name, values in (form or {}).items()},
        chosen=set(form["invoice"]) if form and "invoice" in form else _suggested(shown),
        base=f"/c/{request.path_params['token']}",
        languages=NAMES,
        days={
            "earliest": shown.today - timedelta(days=answers.PAID_DAYS),
            "latest": shown.today + timedelta(days=answers.PROMISE_DAYS),
            "soon": shown.today + timedelta(days=7),
        },
    )
    return HTMLResponse(html, status_code=code)


def _suggested(shown: Picture) -> set[str]:
    """Choose beforehand what an answer is most likely about: what is late, else all there is."""
    late = {each.id for each in shown.invoices if each.line.days_late > 0}
    return late or {each.id for each in shown.invoices}


class _Texts:
    """The page's words in the customer's language, filled."""

    def __init__(self, shown: Picture) -> None:
        self._language = shown.language
        self._page, self._labels = words(shown.language.code)["page"], words(shown.language.code)["labels"]
        self._statement = words(shown.language.code)["statement"]
        self._facts = {
            "company": shown.company,
            "customer": shown.customer,
            "reply_to": shown.reply_to,
            "today": self.day(shown.as_of),
            "latest": self.day(shown.today + timedelta(days=answers.PROMISE_DAYS)),
        }

    def __call__(self, name: str, **more: str) -> str:
        """Say a line of the page, of the mails' labels or of the statement."""
        line = next(each[name] for each in (self._page, self._labels, self._statement) if name in each)
        return phrase(line, {**self._facts, **more})

    def money(self, amount: object, currency: str) -> str:
        """Write a sum."""
        return self._language.money(amount, currency)  # type: ignore[arg-type]  # the template gives Decimals

    def day(self, on: date) -> str:
        """Write a day."""
        return ordinary_spaces(self._language.day(on))

    def short(self, on: date) -> str:
        """Write a day in few signs."""
        return self._language.day(on, short=True)

    def when(self, each: Open) -> str:
        """Say when an invoice falls due, and how late it is."""
        line = each.line
        if line.due_on is None:
            return self("no_due_day")
        late = "day_late" if line.days_late == 1 else "days_late"
        state = late if line.days_late > 0 else "due_soon" if line.days_late < 0 else "due_today"
        return self("falls_due", due_on=self.short(line.due_on), state=self._state(state, line))

    def _state(self, name: str, line: object) -> str:
        return self(name, days=str(getattr(line, "days_late", 0)))


def _refusal(request: Request, code: int, title: str, line: str) -> Response:
    """Answer without a name: whoever asks has no link that is good."""
    language: Language = accepted_language(request.headers.get("accept-language", ""))
    texts = words(language.code)["page"]
    lines = [texts[line]] if line else []
    html = render("behind_a_link.html", lang=language.code, title=texts[title], lines=lines)
    headers = {**_HEADERS, **({"Retry-After": "3600"} if code == 429 else {})}
    return HTMLResponse(html, status_code=code, headers=headers)


def _back(request: Request, said: str) -> Response:
    path = f"/c/{request.path_params['token']}"
    return RedirectResponse(path + (f"?said={said}" if said else ""), status_code=303)


def _pdf(content: bytes, filename: str) -> Response:
    headers = {"Content-Disposition": f'inline; filename="{filename}"'}
    return Response(content, media_type="application/pdf", headers=headers)


def _name(who: Opened) -> str:
    return f"{who.connection_id}:{who.customer_id}"
