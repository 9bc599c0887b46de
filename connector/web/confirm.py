"""Asks once more who sits there, before something dangerous is done; what was filled in waits meanwhile."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import Response

from connector.access import passkeys, sessions, sign_in
from connector.database import reading
from connector.tables import User
from connector.web.pages import SCRIPT_POLICY
from connector.web.visit import Visit, is_ours

PASSWORD, PASSKEY = "confirm_password", "confirm_passkey"
_OURS = {"csrf", "username", PASSWORD, PASSKEY, "challenge"}


def ask(visit: Visit) -> Response | str:
    """Give the page that asks; or the session's token, another one where it was shown by what came with this form."""
    if sessions.is_proved(visit.installation, visit.token):
        return visit.token
    given = {name: next(iter(visit.form.get(name, ())), "") for name in (PASSWORD, PASSKEY)}
    if not any(given.values()):
        return _page(visit, 403)
    try:
        if given[PASSKEY]:
            sealed = visit.sent("challenge", 500)
            return passkeys.prove(visit.installation, visit.who, visit.token, sealed, given[PASSKEY])
        return sign_in.prove(visit.installation, visit.who, visit.token, given[PASSWORD], visit.browser.address)
    except sign_in.TooManyTriesError as problem:
        return _page(visit, 429, str(problem))
    except sign_in.SignInError:
        return _page(visit, 403, "That was not it. Nothing was changed.")


def confirm(visit: Visit) -> Response:
    """Lead on to the page that was wanted, now that it is known who asks for it."""
    wanted = visit.sent("next")
    return visit.go(wanted if is_ours(wanted) else "/")


def _page(visit: Visit, code: int, problem: str = "") -> Response:
    """Ask. A form goes on to where it was sent; a page that was opened is come back to."""
    with reading(visit.installation.engine) as session:
        has_password = bool(session.get_one(User, visit.who.id).password_hash)
    kept = [(name, value) for name, values in visit.form.items() if name not in _OURS for value in values]
    action = visit.path
    if visit.method == "GET":
        query = f"?{urlencode(list(visit.query.items()))}" if visit.query else ""
        action, kept = "/confirm", [("next", visit.path + query)]
    options = passkeys.sign_in_options(visit.installation, visit.who)
    answer = visit.page(
        "confirm.html", code, problem=problem, kept=kept, action=action, has_password=has_password, options=options
    )
    if options:
        answer.headers["Content-Security-Policy"] = SCRIPT_POLICY
    return answer
