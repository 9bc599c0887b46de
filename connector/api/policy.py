"""Operations for the reminder policy."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from connector import policy_store
from connector.api import problems, schemas
from connector.api.api_route import AdminCall, ApiRoute, ReadCall
from connector.api.call import Call, ConnectionParam, PageParam, json_response, paginate
from connector.api.problems import ApiError
from connector.api.schemas import Id
from connector.db.engine import reading, writing
from connector.db.tables import PolicyVersion
from connector.errors import NotFound
from connector.services import policy_evaluation
from connector.services.policy_evaluation import PolicyChange
from policies.fee_checks import fee_warnings
from policies.policy import PolicyError, ReminderPolicy

router = APIRouter(route_class=ApiRoute, tags=["policy"])


@router.get("/policy", response_model=schemas.PolicyDocument)
def get_policy(call: ReadCall, connection: ConnectionParam = "") -> Response:
    """Get the complete current policy: the connection's own, or else the general one."""
    with reading(call.app.engine) as session:
        policy, version = policy_store.get_policy(session, _connection_id(call, session, connection))
        return json_response({"version": version, "document": policy.to_toml()})


@router.get("/policy/versions", response_model=schemas.Page[policy_store.PolicyVersionItem])
def list_versions(call: ReadCall, page_query: PageParam, connection: ConnectionParam = "") -> Response:
    """List all versions of a connection's own policy and of the general one."""
    with reading(call.app.engine) as session:
        rows = policy_store.list_versions(session, _connection_id(call, session, connection))
        seen = {"all", *(row.short_name for row in call.connections(session))}
    return paginate([row for row in rows if row.connection in seen], page_query, lambda row: [row.id])


@router.get("/policy/versions/{version}", response_model=schemas.PolicyDocument)
def get_version(call: ReadCall, version: Id) -> Response:
    """Get a policy version."""
    with reading(call.app.engine) as session:
        row = session.get(PolicyVersion, version)
        if row is None or (row.connection_id is not None and not call.client.can_see(row.connection_id)):
            raise NotFound("Policy version not found.")
        return json_response({"version": version, "document": row.document})


@router.post("/policy/check", response_model=schemas.PolicyCheck)
def check_policy(_call: ReadCall, body: schemas.PolicyRequest) -> Response:
    """Check a policy document and return its errors with their line numbers, or what to know about its late fees."""
    try:
        policy = ReminderPolicy.from_toml(body.document)
    except PolicyError as problem:
        return json_response({"ok": False, "reason": str(problem), "notes": []})
    return json_response({"ok": True, "reason": "", "notes": fee_warnings(policy)})


@router.post("/policy/diff", response_model=schemas.Page[PolicyChange])
def diff_policy(call: ReadCall, page_query: PageParam, body: schemas.PolicyRequest) -> Response:
    """List what a policy document would change in the next 30 days."""
    proposed = ReminderPolicy.from_toml(body.document)
    with reading(call.app.engine) as session:
        own = _connection_id(call, session, body.connection)
        ids = [each for each in policy_store.list_followers(session, own) if call.client.can_see(each)]
    rows = [change for each in ids for change in policy_evaluation.diff_policy(call.app, each, proposed)]
    return paginate(rows, page_query, lambda row: [row.on.isoformat(), row.id, row.change])


@router.put("/policy", response_model=schemas.PolicyVersionResponse)
def set_policy(call: AdminCall, body: schemas.PolicyRequest) -> Response:
    """Activate a policy document from the next sync; an empty one returns a connection to the general policy."""
    with writing(call.app.engine) as session:
        own = _connection_id(call, session, body.connection)
        if own is None and call.client.companies is not None:
            raise ApiError(
                problems.FORBIDDEN, "Only tokens for all companies may set the general policy. Name a connection."
            )
        at = call.now
        version = policy_store.activate_policy(session, body.document, by=call.actor, at=at, connection_id=own)
    return json_response({"version": version})


def _connection_id(call: Call, session: object, connection: str) -> int | None:
    return call.find_connection(session, connection).id if connection else None  # type: ignore[arg-type]
