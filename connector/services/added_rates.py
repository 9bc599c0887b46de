"""Rates that users add to the presets: each is a new version of the policies that use it, and stands in the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from connector import policy_store
from connector.audit import sync_log
from connector.db.tables import Connection
from connector.vocabulary import LogKind
from connector.vocabulary.labels import label
from policies.formatting import format_date, format_percent
from policies.rate_tables import AddedRate, check_new_rates, format_rates, merge_rates

_OWN_DEFAULT = "# The default policy, with rates of the company's own.\n"


def add_rates(
    session: Session, rates: Sequence[AddedRate], *, by: str, at: datetime, connection_id: int | None, replace: bool
) -> int:
    """Add rates to the presets as a new version of the policy, and return its id.

    Without a connection they are for all, also for those with a policy of their own, except where such a company
    added a rate for the same half-year itself. A connection that follows the general policy gets one of its own.

    Raises:
        PolicyError: a figure or date that cannot be right; nothing is added then.

    """
    added = policy_store.get_rates(session, connection_id)
    check_new_rates(rates, added, at.date(), replace=replace)
    versions = []
    for owner in _list_owners(session, connection_id):
        theirs = policy_store.get_rates(session, owner)
        own = {(each.preset, each.from_on) for each in theirs if each not in added}
        new = [each for each in rates if owner == connection_id or (each.preset, each.from_on) not in own]
        if new:
            document = _document_to_extend(session, owner)
            text = format_rates(merge_rates(theirs, new))
            version = policy_store.store_version(session, document, text, by=by, at=at, connection_id=owner)
            _log_rates(session, new, version, by=by, at=at, connection_id=owner)
            versions.append(version)
    return versions[0]


def list_overruled_rates(session: Session, rates: Sequence[AddedRate], connection_id: int | None) -> list[str]:
    """List whose policy document has a rate of its own for the half-year of an added one, which then applies."""
    owners, found = _list_owners(session, connection_id), []
    for owner, (policy, _version) in policy_store.get_policies(session, owners).items():
        rules = policy.late_fees
        if any(each.preset == rules.preset and rules.annual_rate_on(each.from_on) != each.rate for each in rates):
            row = session.get(Connection, owner) if owner is not None else None
            found.append(row.name if row else "The policy of all companies")
    return found


def _list_owners(session: Session, connection_id: int | None) -> list[int | None]:
    """Return whose policies rates are for: the connection's, or the general one and all that companies have."""
    if connection_id is not None:
        return [connection_id]
    return [None, *policy_store.connections_with_own_policy(session)]


def _log_rates(
    session: Session, rates: Sequence[AddedRate], version: int, *, by: str, at: datetime, connection_id: int | None
) -> None:
    figures = "; ".join(
        f"{label(each.preset)} {format_percent(each.rate)} from {format_date(each.from_on)}"
        f" (source: {each.source}, compared on {format_date(each.checked_on)})"
        for each in rates
    )
    text = f"{by} added statutory rates with policy version {version}: {figures}."
    facts = {"version": version, "rates": [f"{each.preset}:{each.from_on}" for each in rates]}
    sync_log.write(session, at=at, kind=LogKind.POLICY_SET, text=text, connection_id=connection_id, facts=facts)


def _document_to_extend(session: Session, owner: int | None) -> str:
    """Return the document of an owner's policy; a connection that follows the general one gets a copy of it."""
    row = policy_store.newest_policy_row(session, owner)
    document = row.document if row else ""
    return document if document or owner is None else _OWN_DEFAULT
