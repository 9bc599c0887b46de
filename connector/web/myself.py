"""A person's own account: password, passkeys, where he is signed in, and ending that elsewhere."""

from __future__ import annotations

from starlette.responses import Response

from connector.access import oidc, passkeys, sessions, sign_in
from connector.access.passwords import WeakPasswordError
from connector.database import reading, writing
from connector.tables import User
from connector.web.pages import SCRIPT_POLICY
from connector.web.routes import Route
from connector.web.visit import NotHere, NotPossible, Visit

_ANSWER_MAX = 20_000


def account(visit: Visit) -> Response:
    """Show how this person signs in, and where he is signed in."""
    with reading(visit.installation.engine) as session:
        user = session.get_one(User, visit.who.id)
        keys = passkeys.listing(session, visit.who)
        open_ones = sessions.listing(session, visit.who, visit.token, visit.now)
    options = passkeys.new_options(visit.installation, visit.who)
    team = oidc.host(visit.installation.settings)
    answer = visit.page("account.html", user=user, keys=keys, sessions=open_ones, options=options, team=team)
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
    try:
        passkeys.add(visit.installation, visit.who, visit.sent("new_challenge"), answer, name)
    except sign_in.SignInError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/account", said="passkey")


def change_passkeys(visit: Visit) -> Response:
    """Remove a passkey; or say whether the password alone still lets in."""
    if visit.sent("remove"):
        if not passkeys.remove(visit.installation, visit.who, visit.sent("remove")):
            raise NotHere
        return visit.go("/account", said="no_passkey")
    try:
        passkeys.demand(visit.installation, visit.who, alone=visit.sent("alone") == "yes")
    except sign_in.SignInError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/account", said="ways")


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
    Route("POST", "/account/passkeys", add_passkey, dangerous=True),
    Route("POST", "/account/ways", change_passkeys, dangerous=True),
    Route("POST", "/account/sessions", end_sessions, dangerous=True),
)
