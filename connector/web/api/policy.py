"""Operations on the reminder policy: shown, checked, tried, and put in force."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from connector import policies_store
from connector.database import reading, writing
from connector.people import trials
from connector.tables import PolicyVersion
from connector.web.api import problems, shapes
from connector.web.api.call import Asked, Call, Within, cut, reply
from connector.web.api.gate import Admin, Gate, Read
from connector.web.api.problems import Refused
from connector.web.api.shapes.parts_of_lists import Id
from connector.web.visit import NotHere
from policies.policy import PolicyError, ReminderPolicy

router = APIRouter(route_class=Gate, tags=["policy"])


@router.get("/policy", response_model=shapes.Policy)
def get_policy(call: Read, connection: Within = "") -> Response:
    """Show the policy in force, complete: of a connection, else the general one."""
    with reading(call.installation.engine) as session:
        policy, version = policies_store.current(session, _own(call, session, connection))
        return reply({"version": version, "document": policy.to_toml()})


@router.get("/policy/versions", response_model=shapes.Page[shapes.PolicyVersion])
def list_versions(call: Read, asked: Asked, connection: Within = "") -> Response:
    """List every version ever set, of a connection's own policy and of the general one."""
    with reading(call.installation.engine) as session:
        rows = policies_store.versions(session, _own(call, session, connection))
        seen = {"all", *(row.short_name for row in call.connections(session))}
    return cut([row for row in rows if row["connection"] in seen], asked, lambda row: [row["id"]])


@router.get("/policy/versions/{version}", response_model=shapes.Policy)
def get_version(call: Read, version: Id) -> Response:
    """Show an earlier version, as it was set."""
    with reading(call.installation.engine) as session:
        row = session.get(PolicyVersion, version)
        if row is None or (row.connection_id is not None and not call.program.sees(row.connection_id)):
            raise NotHere("There is no such version.")
        return reply({"version": version, "document": row.document})


@router.post("/policy/check", response_model=shapes.Verdict)
def check_policy(_call: Read, body: shapes.OfPolicy) -> Response:
    """Check a document, and say where it breaks a rule."""
    try:
        ReminderPolicy.from_toml(body.document)
    except PolicyError as problem:
        return reply({"ok": False, "why": str(problem)})
    return reply({"ok": True, "why": ""})


@router.post("/policy/diff", response_model=shapes.Page[shapes.Change])
def diff_policy(call: Read, asked: Asked, body: shapes.OfPolicy) -> Response:
    """Show what a document would alter in the next 30 days."""
    proposed = ReminderPolicy.from_toml(body.document)
    with reading(call.installation.engine) as session:
        own = _own(call, session, body.connection)
        ids = [each for each in policies_store.followers(session, own) if call.program.sees(each)]
    rows = [change for each in ids for change in trials.difference(call.installation, each, proposed)]
    return cut(rows, asked, lambda row: [row["on"].isoformat(), row["id"], row["change"]])


@router.put("/policy", response_model=shapes.Version)
def set_policy(call: Admin, body: shapes.OfPolicy) -> Response:
    """Put a document in force from the next run on; an empty one lets a connection follow the general one again."""
    with writing(call.installation.engine) as session:
        own = _own(call, session, body.connection)
        if own is None and call.program.companies is not None:
            raise Refused(problems.NO_SCOPE, "The general policy is for tokens of all companies: name a connection.")
        at = call.now
        version = policies_store.put_in_force(session, body.document, by=call.by, at=at, connection_id=own)
    return reply({"version": version})


def _own(call: Call, session: object, connection: str) -> int | None:
    return call.connection(session, connection).id if connection else None  # type: ignore[arg-type]
