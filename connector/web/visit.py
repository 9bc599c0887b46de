"""One request of one person: who it is, what he sent, what he may see, and the answers a page can give."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector.access.sessions import Browser
from connector.access.users import Person
from connector.ids import as_id
from connector.installation import Installation
from connector.tables import Connection
from connector.web.pages import render

SAID = {
    "approved": "Approved: it leaves with the next run.",
    "rejected": "Rejected: it never leaves.",
    "worded": "These are its words now; it leaves when it is approved.",
    "arrived": "Settled: it arrived.",
    "not_arrived": "Settled: it did not arrive, and may be planned again.",
    "waived": "Waived; what is in the ledger is voided by the next run.",
    "mode": "The mode was changed.",
    "paused": "Paused.",
    "resumed": "It runs again.",
    "soon": "It runs within a minute.",
    "policy": "In force from the next run on.",
    "words": "Used from the next mail on.",
    "right": "It is right; it is not shown again.",
    "taken_back": "Taken back: the next run reads again what the ledger has of him.",
    "retention": "Kept like this from now on; what is older goes with the next daily pruning.",
    "recorded": "Recorded: the next run follows it.",
    "link_made": "Here is the link; send it as you would the mail it stands in.",
    "link_revoked": "The link opens nothing any more; the next mail carries a new one.",
    "out": "You are signed out.",
    "password": "Your password was changed; every other browser is signed out.",
    "ended": "That session is over.",
    "others": "Every other browser is signed out.",
    "passkey": "The passkey was added.",
    "no_passkey": "The passkey was removed.",
    "ways": "Changed.",
    "demanded": "From now on everybody needs a passkey.",
    "choice": "Each person chooses again.",
    "user": "Changed.",
    "revoked": "Revoked: it lets nobody in any more.",
    "ended_hook": "Removed: it is told nothing any more.",
    "started_hook": "It is told what happens again, and what happened meanwhile.",
    "tested_hook": "It is told within a minute; see below how that went.",
}


class NotHere(Exception):
    """There is no such thing, or not for this person: the answer is the same."""


class NotPossible(Exception):
    """What was asked for cannot be done; ``str()`` says why."""


@dataclass(frozen=True)
class Visit:
    """A request that was let in. ``person`` is None only on pages that are open to everybody."""

    installation: Installation
    path: str
    method: str = "GET"
    parameters: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    query_string: str = ""
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    person: Person | None = None
    token: str = ""
    browser: Browser = field(default_factory=Browser)

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.installation.now()

    @property
    def who(self) -> Person:
        """Who is signed in."""
        if self.person is None:
            raise NotHere
        return self.person

    def sent(self, name: str, most: int = 500) -> str:
        """What a field of the form says, without the blanks around it."""
        return next(iter(self.form.get(name, ())), "").strip()[:most]

    def ids(self, name: str) -> list[int]:
        """The numbers chosen in a form."""
        return [number for value in self.form.get(name, ()) if (number := as_id(value)) is not None]

    def number(self, name: str) -> int:
        """A number in the path, or ``NotHere`` where it is larger than any there is."""
        number = as_id(str(self.parameters[name]))
        if number is None:
            raise NotHere
        return number

    def companies(self, session: Session) -> list[Connection]:
        """The companies this person sees, by name."""
        rows = session.scalars(select(Connection).order_by(col(Connection.name), col(Connection.id)))
        return [row for row in rows if self.who.sees(row.id)]

    def company(self, session: Session, connection_id: int | None) -> Connection:
        """A company this person sees, or ``NotHere``."""
        row = session.get(Connection, connection_id) if connection_id is not None else None
        if row is None or not self.who.sees(row.id):
            raise NotHere
        return row

    def csrf(self, path: str) -> str:
        """The token that a form to ``path`` must carry: good for this session and this form only."""
        return form_token(self.token, path)

    def page(self, template: str, code: int = 200, /, **values: object) -> Response:
        """Answer with a page."""
        return HTMLResponse(render(template, visit=self, **values), status_code=code)

    def go(self, path: str, /, **query: str) -> Response:
        """Send the browser to another page."""
        return RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), status_code=303)

    @property
    def live(self) -> bool:
        """Tell whether the person wants to watch."""
        return self.query.get("live") == "yes"

    @property
    def said(self) -> str:
        """What was just done, told on the page that follows it."""
        return SAID.get(self.query.get("said", ""), "")


def is_ours(path: str) -> bool:
    """Tell whether a page that is asked for by name is one of ours, and no other host's."""
    return path.startswith("/") and not path.startswith(("//", "/\\", "/sign-in"))


def form_token(session_token: str, path: str) -> str:
    """Derive a form's token from the session's, which nobody but the browser and we know."""
    return hmac.new(session_token.encode(), f"form {path}".encode(), hashlib.sha256).hexdigest()
