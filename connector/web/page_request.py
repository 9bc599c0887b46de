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

from connector.app_context import AppContext
from connector.auth.sessions import Browser
from connector.auth.users import CurrentUser
from connector.db.ids import parse_id
from connector.db.tables import Connection
from connector.errors import NotFound
from connector.web.rendering import render

NOTICES = {
    "approved": "Approved: it leaves with the next run.",
    "rejected": "Rejected: it never leaves.",
    "text_changed": "These are its words now; it leaves when it is approved.",
    "sent": "Settled: it arrived.",
    "not_sent": "Settled: it did not arrive, and may be planned again.",
    "waived": "Waived; what is in the ledger is voided by the next run.",
    "mode_changed": "The mode was changed.",
    "paused": "Paused.",
    "resumed": "It runs again.",
    "sync_requested": "It runs within a minute.",
    "policy_saved": "In force from the next run on.",
    "template_saved": "Used from the next mail on.",
    "marked_correct": "It is right; it is not shown again.",
    "erasure_undone": "Taken back: the next run reads again what the ledger has of him.",
    "retention_saved": "Kept like this from now on; what is older goes with the next daily pruning.",
    "recorded": "Recorded: the next run follows it.",
    "link_created": "Here is the link; send it as you would the mail it stands in.",
    "link_revoked": "The link opens nothing any more; the next mail carries a new one.",
    "signed_out": "You are signed out.",
    "password_changed": "Your password was changed; every other browser is signed out.",
    "session_ended": "That session is over.",
    "other_sessions_ended": "Every other browser is signed out.",
    "passkey_added": "The passkey was added.",
    "passkey_removed": "The passkey was removed.",
    "sign_in_method_changed": "Changed.",
    "passkeys_required": "From now on everybody needs a passkey.",
    "passkeys_optional": "Each person chooses again.",
    "user_changed": "Changed.",
    "token_revoked": "Revoked: it lets nobody in any more.",
    "webhook_removed": "Removed: it is told nothing any more.",
    "webhook_resumed": "It is told what happens again, and what happened meanwhile.",
    "webhook_tested": "It is told within a minute; see below how that went.",
}


@dataclass(frozen=True)
class PageRequest:
    """A request that was let in. ``person`` is None only on pages that are open to everybody."""

    app: AppContext
    path: str
    method: str = "GET"
    path_params: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    query_string: str = ""
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    user: CurrentUser | None = None
    token: str = ""
    browser: Browser = field(default_factory=Browser)

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.app.now()

    @property
    def actor(self) -> CurrentUser:
        """Who is signed in."""
        if self.user is None:
            raise NotFound
        return self.user

    def form_value(self, name: str, max_length: int = 500) -> str:
        """What a field of the form says, without the blanks around it."""
        return next(iter(self.form.get(name, ())), "").strip()[:max_length]

    def form_ids(self, name: str) -> list[int]:
        """The numbers chosen in a form."""
        return [number for value in self.form.get(name, ()) if (number := parse_id(value)) is not None]

    def path_id(self, name: str) -> int:
        """A number in the path, or ``NotHere`` where it is larger than any there is."""
        number = parse_id(str(self.path_params[name]))
        if number is None:
            raise NotFound
        return number

    def companies(self, session: Session) -> list[Connection]:
        """The companies this person sees, by name."""
        rows = session.scalars(select(Connection).order_by(col(Connection.name), col(Connection.id)))
        return [row for row in rows if self.actor.can_see(row.id)]

    def company(self, session: Session, connection_id: int | None) -> Connection:
        """A company this person sees, or ``NotHere``."""
        row = session.get(Connection, connection_id) if connection_id is not None else None
        if row is None or not self.actor.can_see(row.id):
            raise NotFound
        return row

    def csrf_token(self, path: str) -> str:
        """The token that a form to ``path`` must carry: good for this session and this form only."""
        return derive_csrf_token(self.token, path)

    def render(self, template: str, status_code: int = 200, /, **values: object) -> Response:
        """Answer with a page."""
        return HTMLResponse(render(template, request=self, **values), status_code=status_code)

    def redirect(self, path: str, /, **query: str) -> Response:
        """Send the browser to another page."""
        return RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), status_code=303)

    @property
    def auto_refresh(self) -> bool:
        """Tell whether the person wants to watch."""
        return self.query.get("refresh") == "yes"

    @property
    def notice(self) -> str:
        """What was just done, told on the page that follows it."""
        return NOTICES.get(self.query.get("notice", ""), "")


def is_local_path(path: str) -> bool:
    """Tell whether a page that is asked for by name is one of ours, and no other host's."""
    return path.startswith("/") and not path.startswith(("//", "/\\", "/sign-in"))


def derive_csrf_token(session_token: str, path: str) -> str:
    """Derive a form's token from the session's, which nobody but the browser and we know."""
    return hmac.new(session_token.encode(), f"form {path}".encode(), hashlib.sha256).hexdigest()
