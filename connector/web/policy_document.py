"""The policy as a document: its preview, saving it, and its versions with who changed what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlmodel import Session
from starlette.responses import Response

from connector import policy_store
from connector.db.engine import reading, writing
from connector.db.ids import parse_id
from connector.db.tables import PolicyVersion
from connector.errors import NotFound
from connector.policy_store import PolicyChanged, PolicyVersionItem
from connector.services import policy_merge, policy_review, policy_wording
from connector.services.policy_wording import SettingChange
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.policy import PolicyContext, get_policy_context, render_review, submitted_context
from connector.web.routes import Route
from policies.policy import PolicyError, ReminderPolicy

_DOCUMENT_MAX = 200_000
_VERSIONS_SHOWN = 50
_WORDED_MAX = 20  # versions whose changes the list names


def show_document(request: PageRequest) -> Response:
    """Show the policy document, or that of an earlier version."""
    with reading(request.app.engine) as session:
        context = get_policy_context(request, session, request.query.get("company", ""))
        document = context.document
        version = parse_id(request.query.get("version", ""))
        if version is not None:
            document = _get_version(request, session, version).document
    return request.render(
        "policy_document.html",
        policy_context=context,
        document=document or context.policy.to_toml(),
        review=None,
        missed=None,
    )


def preview_or_save(request: PageRequest) -> Response:
    """Show what a document would change, or save it."""
    action = request.form_value("do")
    document = "" if action == "inherit" else _submitted_document(request)
    with reading(request.app.engine) as session:
        if action == "save" and _was_saved(request, session, document):
            return _to_saved(request, get_policy_context(request, session, request.form_value("company")))
        context, missed = submitted_context(request, session)
    if missed and document:
        merged = policy_merge.merge_entered(missed, context.document, document)
        return render_review(request, context, merged, missed, document)
    if action != "save" or missed:
        return render_review(request, context, document, missed)
    try:
        with writing(request.app.engine) as session:
            seen, by, at = policy_store.etag_of(context.version), request.actor.email, request.now
            policy_store.activate_policy(session, document, by=by, at=at, connection_id=context.id, seen=seen)
    except PolicyChanged:  # in the instant between
        return preview_or_save(request)
    except PolicyError:
        return render_review(request, context, document)
    return _to_saved(request, context)


def _was_saved(request: PageRequest, session: Session, document: str) -> bool:
    """Return whether the form was sent before: its document has become the newest version, saved by the same user."""
    context = get_policy_context(request, session, request.form_value("company"))
    newest = session.get(PolicyVersion, context.version or 0)
    return (
        newest is not None
        and request.form_value("version") != str(newest.id)
        and (newest.connection_id, newest.document, newest.set_by) == (context.id, document, request.actor.email)
    )


def _to_saved(request: PageRequest, context: PolicyContext) -> Response:
    return request.redirect(
        "/policy", **({"company": str(context.id)} if context.company else {}), notice="policy_saved"
    )


def list_versions(request: PageRequest) -> Response:
    """Show who saved which version, when, and what it changed in words, newest first."""
    with reading(request.app.engine) as session:
        context = get_policy_context(request, session, request.query.get("company", ""))
        rows = [
            row for row in policy_store.list_versions(session, context.id) if request.actor.can_see(row.connection_id)
        ]
        changes = _describe_changes(session, _versions_before(rows))
    return request.render(
        "policy_versions.html",
        policy_context=context,
        rows=rows[:_VERSIONS_SHOWN],
        changes=changes,
        omitted=max(0, len(rows) - _VERSIONS_SHOWN),
    )


def _versions_before(rows: Sequence[PolicyVersionItem]) -> dict[int, int | None]:
    """Return the newest versions, each with the one before it of the same owner."""
    return {
        row.id: next((each.id for each in rows[position + 1 :] if each.connection_id == row.connection_id), None)
        for position, row in enumerate(rows[:_WORDED_MAX])
    }


def _describe_changes(session: Session, before: Mapping[int, int | None]) -> dict[int, list[SettingChange]]:
    """Return what versions changed, each compared with the one before it; without those that can no longer be read."""
    policies = policy_store.get_version_policies(session, [each for pair in before.items() for each in pair if each])
    return {
        version: policy_wording.describe_changes(
            policies[previous] if previous else ReminderPolicy.default(), policies[version]
        )
        for version, previous in before.items()
        if version in policies and (previous is None or previous in policies)
    }


def show_version(request: PageRequest) -> Response:
    """Show what one version changed, compared with the one before it, in words and in its document."""
    with reading(request.app.engine) as session:
        row = _get_version(request, session, request.path_id("version"))
        previous = policy_store.find_previous_version(session, row)
        context = get_policy_context(request, session, str(row.connection_id or ""))
        before = f"{previous.document}\n{previous.rates}" if previous else ""
        diff_lines = policy_review.diff_documents(before, f"{row.document}\n{row.rates}")
        changes = _describe_changes(session, {row.id or 0: previous.id if previous else None}).get(row.id or 0)
    return request.render(
        "policy_version.html",
        policy_context=context,
        version=row,
        previous=previous,
        changes=changes,
        diff_lines=diff_lines,
    )


def _submitted_document(request: PageRequest) -> str:
    text = request.form_value("document", _DOCUMENT_MAX).replace("\r\n", "\n")
    return f"{text}\n" if text else ""


def _get_version(request: PageRequest, session: Session, version: int) -> PolicyVersion:
    row = session.get(PolicyVersion, version)
    if row is None or not request.actor.can_see(row.connection_id):
        raise NotFound
    return row


ROUTES = (
    Route("GET", "/policy/document", show_document),
    Route("POST", "/policy/document", preview_or_save, Role.BOOKKEEPER, sensitive=True),
    Route("GET", "/policy/versions", list_versions),
    Route("GET", "/policy/versions/{version:int}", show_version),
)
