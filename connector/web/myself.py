"""A person's own account: password, passkeys, where he is signed in, and ending that elsewhere."""

from __future__ import annotations

from starlette.responses import Response

from connector.access import oidc, passkeys, second_factor, sessions, sign_in
from connector.access.passwords import WeakPasswordError
from connector.database import reading, writing
from connector.tables import User
from connector.web.pages import SCRIPT_POLICY
from connector.web.routes import PASSKEY_PATH, Route, with_session
from connector.web.visit import NotHere, NotPossible, Visit

_ANSWER_MAX = 20_000


def account(visit: Visit) -> Response:
    """Show how this person signs in, and where he is signed in."""
    with reading(visit.installation.engine) as session:
        user = session.get_one(User, visit.who.id)
        keys = passkeys.listing(session, visit.who)
        open_ones = sessions.listing(session, visit.who, visit.token, visit.now)
        demand = second_factor.demanded(session)
    return _asking(visit, "account.html", user=user, keys=keys, sessions=open_ones, demand=demand)


def owed(visit: Visit) -> Response:
    """Ask for the passkey that everybody needs here; nothing else is open to who has none."""
    if not visit.who.owes_passkey:
        return visit.go("/account")
    with reading(visit.installation.engine) as session:
        demand = second_factor.demanded(session)
    return _asking(visit, "owed_passkey.html", demand=demand)


def _asking(visit: Visit, template: str, **values: object) -> Response:
    """Give a page on which a passkey is made, by the one script there is."""
    options = passkeys.new_options(visit.installation, visit.who)
    team = oidc.host(visit.installation.settings)
    answer = visit.page(template, options=options, where=second_factor.WHERE, team=team, **values)
    if options:
        answer.headers["Content-Security-Policy"] = SCRIPT_POLICY
    return answer


def change_password(visit: Visit) -> Response:
    """Take another password; every other browser is signed out."""
    password, again = (next(iter(visit.form.get(name, ())), "") for name in ("password", "again"))
    if password != again:
        message = "The two passwords are not the same. Nothing was changed."
        raise NotPossible(message)
    try:
        sign_in.change_password(visit.installation, visit.who, visit.token, password)
    except WeakPasswordError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/account", said="password")


def add_passkey(visit: Visit) -> Response:
    """Keep the passkey that the device has just made."""
    answer, name = visit.sent("new_passkey", _ANSWER_MAX), visit.sent("name", 80)
    challenge = visit.sent("new_challenge")
    try:
        token = passkeys.add(visit.installation, visit.who, visit.token, challenge, answer, name)
    except sign_in.SignInError as problem:
        raise NotPossible(str(problem)) from problem
    onward = visit.go("/" if visit.who.owes_passkey else "/account", said="passkey")
    return with_session(visit.installation, onward, token)


def change_passkeys(visit: Visit) -> Response:
    """Remove a passkey; or say whether the password alone still lets in."""
    if visit.sent("remove"):
        return _remove(visit)
    try:
        passkeys.demand(visit.installation, visit.who, alone=visit.sent("alone") == "yes")
    except sign_in.SignInError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/account", said="ways")


def _remove(visit: Visit) -> Response:
    try:
        if not passkeys.remove(visit.installation, visit.who, visit.sent("remove")):
            raise NotHere
    except sign_in.SignInError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/account", said="no_passkey")


def end_sessions(visit: Visit) -> Response:
    """Sign this person out in one other browser, or in all others."""
    if visit.sent("session"):
        if not sessions.end_one(visit.installation, visit.who, visit.sent("session")):
            raise NotHere
        return visit.go("/account", said="ended")
    with writing(visit.installation.engine) as session:
        sessions.end_others(session, visit.who.id, visit.token, by=visit.who.email, at=visit.now)
    return visit.go("/account", said="others")


ROUTES = (
    Route("GET", "/account", account),
    Route("POST", "/account/password", change_password, dangerous=True),
    Route("GET", PASSKEY_PATH, owed, owing=True),
    Route("POST", PASSKEY_PATH, add_passkey, dangerous=True, owing=True),
    Route("POST", "/account/ways", change_passkeys, dangerous=True),
    Route("POST", "/account/sessions", end_sessions, dangerous=True),
)
