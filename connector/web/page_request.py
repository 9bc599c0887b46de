"""One request for a page: who is signed in, what the form contains, which companies they see, and the responses."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from urllib.parse import quote, urlencode, urlsplit

from sqlalchemy import func, select
from sqlmodel import Session, col
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector.app_context import AppContext
from connector.auth.sessions import Browser
from connector.auth.users import CurrentUser
from connector.db.engine import reading
from connector.db.ids import parse_id
from connector.db.tables import Connection
from connector.errors import NotFound
from connector.web.rendering import SIGNED_IN_CSP, render
from connector.web.uploads import UploadedFile

ALL_COMPANIES = "all"  # the value of the parameter ``company`` that ends a choice
# What the page after a change says was done, by the value of its query parameter ``notice``.
NOTICES = {
    "approved": "Approved. It will be sent with the next sync.",
    "rejected": "Rejected. It will not be sent.",
    "task_closed": "Task closed. What was agreed applies from the next sync. Here is what is left to do.",
    "task_snoozed": "Snoozed until then.",
    "task_assigned": "Assigned.",
    "decision_undone": "Undone. It awaits approval again.",
    "text_changed": "Text saved. The email still needs approval.",
    "sent": "Marked as sent.",
    "not_sent": "Marked as not sent. It may be planned again.",
    "waived": "Waived. If the fee is already in your accounting system, the next sync will void it.",
    "mode_changed": "Mode changed.",
    "mode_approve": "Mode changed. What is planned awaits approval.",
    "mode_approve_empty": "Mode changed. Nothing is due now: what falls due later will await your approval.",
    "paused": "Paused.",
    "resumed": "Resumed.",
    "sync_requested": "The sync will start within a minute.",
    "bank_details_entered": "Saved. Every owner is told by email with the next sync.",
    "bank_details_removed": "Removed. Every owner is told by email with the next sync.",
    "bank_details_confirmed": "Confirmed. Customers are given this account from now on.",
    "bank_details_cancelled": "Cancelled. This account is not used.",
    "policy_saved": "Policy saved. It applies from the next sync.",
    "rate_added": "Rate added. It applies from the next sync.",
    "brand_saved": "Saved. It applies from the next email, and to the portal at once.",
    "template_saved": "Template saved. It applies from the next email.",
    "marked_correct": "Marked as correct. It will not be shown again.",
    "erasure_undone": "Erasure undone. The next sync reads this customer's data again.",
    "retention_saved": "Retention periods saved. Older data will be deleted with the next daily clean-up.",
    "statement_imported": "Imported. What its money pays is held from the next sync on, within a minute.",
    "statement_known": "This file was imported before. Nothing was changed.",
    "match_confirmed": "Confirmed, and remembered for this payer. Nothing is asked for it from the next sync on.",
    "match_rejected": "Rejected, and remembered for this payer. The invoice is chased again.",
    "money_set_aside": "Set aside. It is not matched with invoices any more.",
    "bulk_paused": "Reminders paused. It applies from the next sync.",
    "bulk_resumed": "Reminders resumed. It applies from the next sync.",
    "bulk_assigned": "Assigned.",
    "bulk_completed": "Marked as completed.",
    "agreement_recorded": "Saved. It applies from the next sync.",
    "agreement_undone": "Undone. What applied before applies again.",
    "unchanged": "Nothing was changed.",
    "recorded": "Saved. It applies from the next sync.",
    "link_created": "Portal link created. Send it as you would send an email with personal data.",
    "link_revoked": "Portal link revoked. The next email will contain a new one.",
    "signed_out": "You are signed out.",
    "password_changed": "Password changed. You have been signed out in all other browsers.",
    "step_confirmed": "Noted. The next step is marked.",
    "test_email_sent": "The test email was sent. Look for it in your inbox, and among the spam.",
    "preferences_saved": "Saved.",
    "session_ended": "Session ended.",
    "other_sessions_ended": "You have been signed out in all other browsers.",
    "passkey_added": "Passkey added.",
    "passkey_removed": "Passkey removed.",
    "sign_in_method_changed": "Sign-in method changed.",
    "passkeys_required": "All users now need a passkey.",
    "passkeys_optional": "Passkeys are optional again.",
    "user_changed": "User updated.",
    "token_revoked": "Token revoked.",
    "webhook_removed": "Webhook removed.",
    "webhook_resumed": "Webhook resumed. Events it missed will be delivered.",
    "webhook_tested": "A test event will be delivered within a minute. See the result below.",
}
_NEXT_EMAIL = ("Read the next email", "/outbox/review")
_NEXT_TASK = ("See the open tasks", "/tasks")
# What a user may want to do after that: the text of a link, and its address.
NEXT_STEPS = {
    "approved": _NEXT_EMAIL,
    "rejected": _NEXT_EMAIL,
    "mode_approve": ("Read what awaits approval", "/outbox/review"),
    "mode_approve_empty": ("See what comes next", "/invoices?sort=next_on"),
    "sent": ("See what else is unconfirmed", "/outbox?state=unconfirmed"),
    "not_sent": ("See what else is unconfirmed", "/outbox?state=unconfirmed"),
    "waived": ("See the late fees", "/fees"),
    "task_snoozed": _NEXT_TASK,
    "task_assigned": _NEXT_TASK,
    "agreement_recorded": ("See who else needs attention", "/attention"),
    "recorded": ("See who else needs attention", "/attention"),
    "sync_requested": ("Follow the syncs", "/runs"),
    "policy_saved": ("See what is planned", "/outbox?state=planned"),
    "rate_added": ("Go to the policy", "/policy"),
}


@dataclass(frozen=True, slots=True)
class CompanyFilter:
    """The companies a user sees, and the one a page is limited to, if any."""

    companies: list[Connection]
    selected_id: int | None

    @property
    def shown(self) -> list[Connection]:
        """The companies the page is about."""
        return [row for row in self.companies if self.selected_id in {None, row.id}]

    @property
    def ids(self) -> list[int]:
        """The ids of the companies the page is about."""
        return [row.id or 0 for row in self.shown]

    @property
    def time_zone(self) -> str:
        """The time zone of most of the companies the page is about."""
        zones = Counter(row.time_zone for row in self.shown).most_common(1)
        return zones[0][0] if zones else "UTC"


@dataclass(frozen=True)
class PageRequest:
    """A request that passed the checks of its route; ``user`` is None only on public pages."""

    app: AppContext
    path: str
    method: str = "GET"
    path_params: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    query_string: str = ""
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, UploadedFile] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    user: CurrentUser | None = None
    token: str = ""
    browser: Browser = field(default_factory=Browser)
    came_from: str = ""  # the page of the form that was sent, "" where that is not known

    @property
    def now(self) -> datetime:
        """The current instant."""
        return self.app.now()

    @property
    def time_zone(self) -> str:
        """The time zone in which the user reads all times, "" for that of the company each belongs to."""
        return self.user.time_zone if self.user else ""

    @property
    def actor(self) -> CurrentUser:
        """The signed-in user; raises ``NotFound`` where nobody is."""
        if self.user is None:
            raise NotFound
        return self.user

    def form_value(self, name: str, max_length: int = 500) -> str:
        """Return the first value of a form field, stripped and cut to ``max_length``; "" where it is missing."""
        return next(iter(self.form.get(name, ())), "").strip()[:max_length]

    def form_ids(self, name: str) -> list[int]:
        """Return the valid ids among the values of a form field."""
        return [number for value in self.form.get(name, ()) if (number := parse_id(value)) is not None]

    def path_id(self, name: str) -> int:
        """Return an id from the path; raises ``NotFound`` where it is too large to be one."""
        number = parse_id(str(self.path_params[name]))
        if number is None:
            raise NotFound
        return number

    def page_number(self, pages_max: int = 1000) -> int:
        """Return the query parameter ``page``, between 1 and ``pages_max``."""
        text = self.query.get("page", "")
        return min(max(int(text), 1), pages_max) if text.isdecimal() and len(text) < 9 else 1

    def companies(self, session: Session) -> list[Connection]:
        """List the companies the user sees, by name."""
        rows = session.scalars(select(Connection).order_by(func.lower(col(Connection.name)), col(Connection.id)))
        return [row for row in rows if self.actor.can_see(row.id)]

    def company(self, session: Session, connection_id: int | None) -> Connection:
        """Return a company the user sees; raises ``NotFound``."""
        row = session.get(Connection, connection_id) if connection_id is not None else None
        if row is None or not self.actor.can_see(row.id):
            raise NotFound
        return row

    def company_filter(self, session: Session, asked: Mapping[str, str] | None = None) -> CompanyFilter:
        """Read the parameter ``company`` of the address, or of ``asked``; without one, the choice of an earlier page.

        Raises ``NotFound`` where it names a company that the user does not see.
        """
        asked = self.query if asked is None else asked
        companies = self.companies(session)
        visible = {row.id for row in companies}
        if "company" not in asked:
            kept_id = parse_id(self.cookies.get(company_cookie(self.app), ""))
            return CompanyFilter(companies, kept_id if kept_id in visible else None)
        selected_id = parse_id(asked["company"])
        if asked["company"] not in {"", ALL_COMPANIES} and selected_id not in visible:
            raise NotFound
        return CompanyFilter(companies, selected_id)

    @cached_property
    def kept_company(self) -> Connection | None:
        """The company that lists are limited to, for the header; None for all."""
        selected_id = parse_id(self.query.get("company", self.cookies.get(company_cookie(self.app), "")))
        if selected_id is None or self.user is None or not self.user.can_see(selected_id):
            return None
        with reading(self.app.engine) as session:
            return session.get(Connection, selected_id)

    def csrf_token(self, path: str) -> str:
        """Return the token that a form posting to ``path`` must contain: valid for this session and path only."""
        return derive_csrf_token(self.token, path)

    def render(self, template: str, status_code: int = 200, /, **values: object) -> Response:
        """Return a page; those of a signed-in user may run our own scripts."""
        headers = {"Content-Security-Policy": SIGNED_IN_CSP} if self.user is not None else None
        return HTMLResponse(render(template, request=self, **values), status_code=status_code, headers=headers)

    def redirect(self, path: str, /, **query: str) -> Response:
        """Return a redirect to another page."""
        return RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), status_code=303)

    @property
    def auto_refresh(self) -> bool:
        """Whether the user asked for the page to refresh automatically."""
        return self.query.get("refresh") == "yes"

    @property
    def notice(self) -> str:
        """What was done on the page before, "" for nothing."""
        return NOTICES.get(self.query.get("notice", ""), "")

    @property
    def next_step(self) -> tuple[str, str] | None:
        """What to do next: the text of a link and its address; None where nothing suggests itself."""
        step = NEXT_STEPS.get(self.query.get("notice", ""))
        return None if step is None or step[1].partition("?")[0] == self.path else step


def entity_url(company_id: int, kind: str, external_id: str) -> str:
    """Return the path of a company's customer or invoice (``kind``: customers, invoices)."""
    return f"/companies/{company_id}/{kind}/{quote(external_id, safe='')}"


def company_cookie(app: AppContext) -> str:
    """Return the name of the cookie that keeps the choice of a company; browsers share cookies among ports."""
    return f"duewell-company-{urlsplit(app.settings.duewell_base_url).port or 443}"


def build_url(path: str, **query: object) -> str:
    """Return a path with the query parameters that are not empty."""
    parameters = {name: str(value) for name, value in query.items() if value not in {None, ""}}
    return path + (f"?{urlencode(parameters)}" if parameters else "")


def is_local_path(path: str) -> bool:
    """Return whether a redirect target is a page of this app, and not another host."""
    return path.startswith("/") and not path.startswith(("//", "/\\", "/sign-in"))


def derive_csrf_token(session_token: str, path: str) -> str:
    """Derive a form's CSRF token from the session token, which only the browser and the server know."""
    return hmac.new(session_token.encode(), f"form {path}".encode(), hashlib.sha256).hexdigest()
