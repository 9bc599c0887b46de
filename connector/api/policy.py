"""Operations for the reminder policy."""

from __future__ import annotations

from fastapi import APIRouter
from sqlmodel import Session
from starlette.responses import Response

from connector import bounded_work, policy_store
from connector.api import bodies, problems, schemas
from connector.api.api_route import AdminCall, ApiRoute, ReadCall
from connector.api.bodies import Id
from connector.api.call import Call, ConnectionParam, PageParam, json_response, paginate
from connector.api.costly_calls import one_at_a_time
from connector.api.etags import IfMatch, parse_if_match, with_etag
from connector.api.problems import ApiError
from connector.bounded_work import CheckedPolicy, Work, WorkFailed
from connector.db.engine import reading, writing
from connector.db.tables import PolicyVersion
from connector.errors import NotFound
from connector.services import added_rates, policy_evaluation, policy_review, schedule_story, statutory_rates
from connector.services.policy_evaluation import PolicyChange
from connector.services.schedule_story import SegmentStory
from connector.services.statutory_rates import StatutoryRate
from policies.document import Problem
from policies.fee_checks import fee_warnings
from policies.policy import PolicyError
from policies.rate_tables import read_rate

_CHECK_S = 3.0  # two hundred customer policies take a quarter of a second
router = APIRouter(route_class=ApiRoute, tags=["policy"])


@router.get("/policy", response_model=schemas.PolicyDocument)
def get_policy(call: ReadCall, connection: ConnectionParam = "") -> Response:
    """Get the complete current policy: the connection's own, or else the general one."""
    with reading(call.app.engine) as session:
        policy, version = policy_store.get_policy(session, _connection_id(call, session, connection))
        return with_etag(
            json_response({"version": version, "document": policy.to_toml()}), policy_store.etag_of(version)
        )


@router.get("/policy/schedule", response_model=schemas.Page[SegmentStory])
def describe_schedule(call: ReadCall, page_query: PageParam, connection: ConnectionParam = "") -> Response:
    """Get the reminder schedule in sentences: what customers of each segment hear, and when."""
    with reading(call.app.engine) as session:
        policy, _version = policy_store.get_policy(session, _connection_id(call, session, connection))
    return paginate(schedule_story.describe_schedule(policy), page_query, lambda row: [row.id])


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
def check_policy(call: ReadCall, body: bodies.PolicyRequest) -> Response:
    """Check a policy document and return its errors with their line numbers, or what to know about its late fees."""
    with one_at_a_time(call.client):
        checked = _check_document(body.document)
    notes = checked.notes
    if not checked.problems:  # once more, with the rates that were added
        with reading(call.app.engine) as session:
            own = _connection_id(call, session, body.connection)
            notes = fee_warnings(policy_store.parse_policy(session, body.document, own))
    reason = str(PolicyError(Problem(*each) for each in checked.problems))
    return json_response({"ok": not checked.problems, "reason": reason, "notes": notes})


@router.post("/policy/diff", response_model=schemas.Page[PolicyChange])
def diff_policy(call: ReadCall, page_query: PageParam, body: bodies.PolicyRequest) -> Response:
    """List what a policy document would change in the next 30 days."""
    with one_at_a_time(call.client):
        checked = _check_document(body.document)
        if checked.problems:
            raise PolicyError(Problem(*each) for each in checked.problems)
        with reading(call.app.engine) as session:
            own = _connection_id(call, session, body.connection)
            proposed = policy_store.parse_policy(session, body.document, own)
            ids = [each for each in policy_store.list_followers(session, own) if call.client.can_see(each)]
        watch = policy_review.time_limit()
        try:
            rows = [
                change
                for each in ids
                for change in policy_evaluation.diff_policy(call.app, each, proposed, on_progress=watch)
            ]
        except policy_review.TimeLimitExceededError as error:
            raise ApiError(problems.TOO_LARGE, policy_review.TOO_LARGE) from error
    return paginate(rows, page_query, lambda row: [row.on.isoformat(), row.id, row.change])


@router.put("/policy", response_model=schemas.PolicyVersionResponse)
def set_policy(call: AdminCall, body: bodies.PolicyRequest, if_match: IfMatch = "") -> Response:
    """Activate a policy document from the next sync; an empty one returns a connection to the general policy.

    `If-Match`: only if the policy still is the version you read.
    """
    seen = parse_if_match(if_match)
    with writing(call.app.engine) as session:
        own = _connection_id(call, session, body.connection)
        if own is None and call.client.companies is not None:
            raise ApiError(
                problems.FORBIDDEN, "Only tokens for all companies may set the general policy. Name a connection."
            )
        version = policy_store.activate_policy(
            session, body.document, by=call.actor, at=call.now, connection_id=own, seen=seen
        )
    return json_response({"version": version})


@router.get("/policy/rates", response_model=schemas.Page[StatutoryRate])
def list_rates(call: ReadCall, page_query: PageParam, connection: ConnectionParam = "") -> Response:
    """List the statutory rates of the late fee presets, with those that users added."""
    with reading(call.app.engine) as session:
        rows = statutory_rates.list_rates(session, _connection_id(call, session, connection))
    return paginate(rows, page_query, lambda row: [row.id])


@router.post("/policy/rates", response_model=schemas.PolicyVersionResponse)
def add_rate(call: AdminCall, body: bodies.RateRequest) -> Response:
    """Add the statutory rate of a half-year, for one connection or for all; it applies from the next sync."""
    at = call.now
    values = body.model_dump(include={"preset", "from_on", "rate", "source", "checked_on"})
    rate = read_rate({**values, "added_by": call.actor, "added_on": at.date()})
    with writing(call.app.engine) as session:
        own = _connection_id(call, session, body.connection)
        if own is None and call.client.companies is not None:
            raise ApiError(
                problems.FORBIDDEN, "Only tokens for all companies may add rates for all. Name a connection."
            )
        version = added_rates.add_rates(session, [rate], by=call.actor, at=at, connection_id=own, replace=body.replace)
    return json_response({"version": version})


def _connection_id(call: Call, session: Session, connection: str) -> int | None:
    return call.find_connection(session, connection).id if connection else None


def _check_document(document: str) -> CheckedPolicy:
    """Check a document in a process of its own, which is killed where that takes too long."""
    request = bounded_work.Request(Work.CHECK_POLICY, document.encode(), _CHECK_S)
    try:
        return bounded_work.worker.run(request, CheckedPolicy)
    except WorkFailed as error:
        raise ApiError(problems.INVALID, f"The document could not be checked: {error}.") from error
