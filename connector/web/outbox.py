"""The outbox for people: read what would leave, approve, reject, settle doubts, waive fees."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from sqlmodel import Session
from starlette.responses import HTMLResponse, Response

from connector.database import reading, writing
from connector.ids import as_id
from connector.letters.mail_words import LINES
from connector.people import approvals, outbox_search, preview, wording
from connector.people import fees as late_fees
from connector.people.outbox_search import Shown
from connector.tables import Connection
from connector.web.routes import Route
from connector.web.visit import NotHere, NotPossible, Visit

TABS = {
    "waiting": ("To approve", ("waiting",)),
    "doubt": ("In doubt", ("doubt",)),
    "planned": ("Planned", ("planned", "calling")),
    "done": ("Left", ("done",)),
    "refused": ("Refused", ("refused",)),
}
LETTER_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'self'"
)
WITH_FRAME = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_WITH_LETTER = ("planned", "waiting", "doubt")  # what has left is told by the log; it is not written anew


def entries(visit: Visit) -> Response:
    """Show the entries of one state."""
    tab = visit.query.get("state", "waiting")
    states = TABS.get(tab, TABS["waiting"])[1]
    with reading(visit.installation.engine) as session:
        companies, chosen, ids = within(visit, session)
        found = outbox_search.entries(session, ids, states=states, before=_before(visit))
        counts = outbox_search.counts(session, ids)
    return visit.page(
        "outbox.html", found=found, tabs=TABS, tab=tab, counts=counts, companies=companies, chosen=chosen, at=_at
    )


def fees(visit: Visit) -> Response:
    """Show the late fees."""
    with reading(visit.installation.engine) as session:
        companies, chosen, ids = within(visit, session)
        found = outbox_search.entries(session, ids, kinds=("late_fee",), before=_before(visit))
    return visit.page("fees.html", found=found, companies=companies, chosen=chosen, at=_at)


def entry(visit: Visit) -> Response:
    """Show one entry: what it does and why, and its mail as the customer will read it."""
    with reading(visit.installation.engine) as session:
        found = _found(visit, session, visit.number("entry"))
        invoices = outbox_search.invoices(session, found)
    letter, problem = None, ""
    lines: dict[str, str] = {}
    if found.entry.kind in {"mail", "owner_mail"} and found.entry.state in _WITH_LETTER:
        try:
            if visit.who.may("bookkeeper") and found.can_be_worded:
                letter, lines = preview.with_lines(visit.installation, found.entry)
            else:
                letter = preview.letter(visit.installation, found.entry)
        except preview.NoPreview as no:
            problem = str(no)
    answer = visit.page("entry.html", shown=found, invoices=invoices, letter=letter, problem=problem, lines=lines)
    if letter is not None:
        answer.headers["Content-Security-Policy"] = WITH_FRAME
    return answer


def letter_page(visit: Visit) -> Response:
    """Give the mail's own page, in a sandbox: nothing in it runs, loads or sends anything."""
    with reading(visit.installation.engine) as session:
        found = _found(visit, session, visit.number("entry"))
    if found.entry.kind not in {"mail", "owner_mail"} or found.entry.state not in _WITH_LETTER:
        raise NotHere
    try:
        html = preview.letter(visit.installation, found.entry).html
    except preview.NoPreview:
        raise NotHere from None
    headers = {"Content-Security-Policy": LETTER_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return HTMLResponse(html, headers=headers)


def settle_many(visit: Visit) -> Response:
    """Approve or reject what was chosen on the list."""
    act = visit.sent("do")
    chosen = visit.form.get("shown" if act == "approve_shown" else "id", ())
    if not chosen:
        message = "Nothing was chosen."
        raise NotPossible(message)
    act = act.removesuffix("_shown")
    if act not in {"approve", "reject"}:
        raise NotHere
    with writing(visit.installation.engine) as session:
        ids = [_unchanged(visit, session, each) for each in chosen]
        _settle(visit, session, ids, act)
    return visit.go("/outbox", said=f"{act.removesuffix('e')}ed", **_kept(visit))


def settle(visit: Visit) -> Response:
    """Approve, reject, settle or waive the one entry that was looked at."""
    entry_id, act = visit.number("entry"), visit.sent("do")
    here = f"/outbox/{entry_id}"
    if act in {"approve", "reject"}:
        with writing(visit.installation.engine) as session:
            _settle(visit, session, [_unchanged(visit, session, f"{entry_id}:{visit.sent('content')}")], act)
        return visit.go(here, said=f"{act.removesuffix('e')}ed")
    if act in {"reword", "as_written"}:
        lines = {name: visit.sent(name, 20_000) for name in LINES if name in visit.form} if act == "reword" else {}
        with reading(visit.installation.engine) as session:
            _unchanged(visit, session, f"{entry_id}:{visit.sent('content')}")
        wording.reword(visit.installation, entry_id, lines, by=visit.who.email, seen=visit.sent("content"))
        return visit.go(here, said="worded")
    if act in {"arrived", "not_arrived"}:
        with writing(visit.installation.engine) as session:
            _found(visit, session, entry_id)
            approvals.resolve(session, entry_id, sent=act == "arrived", by=visit.who.email, at=visit.now)
        return visit.go(here, said=act)
    with reading(visit.installation.engine) as session:
        _found(visit, session, entry_id)
    if act != "waive":
        raise NotHere
    late_fees.waive(visit.installation, [entry_id], by=visit.who.email, why=visit.sent("why"))
    return visit.go(here, said="waived")


def _settle(visit: Visit, session: Session, ids: list[int], act: str) -> None:
    if act == "approve":
        approvals.approve(session, ids, by=visit.who.email, at=visit.now)
    else:
        approvals.reject(session, ids, by=visit.who.email, at=visit.now, why=visit.sent("why"))


def _unchanged(visit: Visit, session: Session, chosen: str) -> int:
    """Read ``id:content`` off a form: what is settled must be what was looked at."""
    number, _, content = chosen.partition(":")
    entry_id = as_id(number)
    if entry_id is None:
        raise NotHere
    found = _found(visit, session, entry_id)
    if found.seen != content:
        message = f"What was planned for {found.customer or 'this customer'} has changed meanwhile. Look at it again."
        raise NotPossible(message)
    return entry_id


def _found(visit: Visit, session: Session, entry_id: int) -> Shown:
    found = outbox_search.entry(session, entry_id)
    if found is None or not visit.who.sees(found.entry.connection_id):
        raise NotHere
    return found


def within(visit: Visit, session: Session) -> tuple[list[Connection], int | None, list[int]]:
    """Read which of a person's companies a page is about: all of them, the chosen one, and the ids it comes to."""
    companies = visit.companies(session)
    asked = visit.query.get("company", "")
    chosen = as_id(asked)
    if asked:
        visit.company(session, chosen)
    return companies, chosen, [row.id or 0 for row in companies] if chosen is None else [chosen]


def _before(visit: Visit) -> int | None:
    return as_id(visit.query.get("before", ""))


def _kept(visit: Visit) -> dict[str, str]:
    return {"company": visit.sent("company")} if visit.sent("company").isdecimal() else {}


def _at(path: str, **query: object) -> str:
    given = {name: str(value) for name, value in query.items() if value not in {None, ""}}
    return path + (f"?{urlencode(given)}" if given else "")


_SHOW: tuple[tuple[str, Callable[[Visit], Response]], ...] = (
    ("/outbox", entries),
    ("/outbox/{entry:int}", entry),
    ("/outbox/{entry:int}/letter.html", letter_page),
    ("/fees", fees),
)
ROUTES = (
    *(Route("GET", path, handler) for path, handler in _SHOW),
    Route("POST", "/outbox", settle_many, "bookkeeper"),
    Route("POST", "/outbox/{entry:int}", settle, "bookkeeper"),
)
