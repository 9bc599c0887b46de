"""The policy versions: every document ever set is kept, and the newest one is active."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import ColumnElement, bindparam, func, or_, select
from sqlmodel import Session, SQLModel, col

from connector.audit import sync_log
from connector.connections.registry import list_connected
from connector.db.tables import Connection, PolicyVersion
from connector.errors import NotPossible
from connector.results import Result
from connector.vocabulary import LogKind
from policies.customer_policies import is_in_control_group
from policies.document import PolicyError
from policies.formatting import format_date
from policies.policy import ReminderPolicy
from policies.rate_tables import AddedRates, format_rates, parse_rates

ALL_COMPANIES = "all"  # stands for a short name where a version is general
_VERSIONS = SQLModel.metadata.tables["policy_version"]
# The newest version of each owner: of the given companies, and the general one. Asked for several times a sync.
_NEWEST_VERSIONS = select(PolicyVersion).where(
    _VERSIONS.c.id.in_(
        select(func.max(_VERSIONS.c.id))
        .where(
            or_(_VERSIONS.c.connection_id.is_(None), _VERSIONS.c.connection_id.in_(bindparam("owners", expanding=True)))
        )
        .group_by(_VERSIONS.c.connection_id)
    )
)


class PolicyChanged(NotPossible):
    """Another version applies than the one that the user read; the message says who saved it and when."""


class PolicyVersionItem(Result):
    """A version as lists show it. One without a document ended a connection's own policy."""

    id: int
    connection: str
    connection_id: int | None
    set_at: datetime
    set_by: str
    active: bool
    has_document: bool


class ActivePolicy(NamedTuple):
    """A connection's policy, and the one before it, which the control group keeps."""

    policy: ReminderPolicy
    version: int | None
    previous: ReminderPolicy
    previous_version: int | None
    salt: str

    def for_customer(self, customer_id: str) -> tuple[ReminderPolicy, int | None]:
        """Return the policy that applies to a customer, and its version."""
        if self.is_in_control_group(customer_id):
            return self.previous, self.previous_version
        return self.policy, self.version

    def is_in_control_group(self, customer_id: str) -> bool:
        """Return whether a customer keeps the previous policy."""
        return is_in_control_group(customer_id, self.policy.control_group_percent, self.salt)


def get_policy(session: Session, connection_id: int | None) -> tuple[ReminderPolicy, int | None]:
    """Return a connection's policy and its version: its own, else the general one, else the default (version None)."""
    return get_policies(session, [connection_id])[connection_id]


def get_policies(
    session: Session, connection_ids: Collection[int | None]
) -> dict[int | None, tuple[ReminderPolicy, int | None]]:
    """Return ``get_policy`` of each of these connections, in one query."""
    rows = session.scalars(_NEWEST_VERSIONS, {"owners": [each for each in connection_ids if each is not None]})
    own = {row.connection_id: (_parse(row.document, row.rates), row.id) for row in rows if _is_policy(row)}
    general = own.get(None, (_default(), None))
    return {each: own.get(each, general) for each in connection_ids}


def get_active_policy(session: Session, connection_id: int) -> ActivePolicy:
    """Return a connection's active policy. With a control group, ``previous`` is the newest one without."""
    policy, version = get_policy(session, connection_id)
    previous, previous_version = policy, version
    if policy.control_group_percent and version is not None:
        previous, previous_version = _previous_without_control_group(session, version)
    return ActivePolicy(policy, version, previous, previous_version, f"{connection_id}")


def set_policy(session: Session, document: str, *, by: str, at: datetime, connection_id: int | None = None) -> int:
    """Store a document as the active version, and return its id. The rates that were added stay.

    Without a connection it is the general policy. An empty document makes a connection follow the general one again.

    Raises:
        PolicyError: the document breaks a rule.

    """
    if document:
        ReminderPolicy.from_toml(document)
    rates = format_rates(get_rates(session, connection_id)) if document or connection_id is None else ""
    return store_version(session, document, rates, by=by, at=at, connection_id=connection_id)


def store_version(
    session: Session, document: str, rates: str, *, by: str, at: datetime, connection_id: int | None
) -> int:
    """Store a document with the rates that were added to it, as the active version; return its id."""
    row = PolicyVersion(connection_id=connection_id, document=document, rates=rates, set_by=by, set_at=at)
    session.add(row)
    session.flush()
    assert row.id is not None  # noqa: S101  # the database has just assigned it
    return row.id


def etag_of(version: int | None) -> str:
    """Return what stands for a version, or for the default policy, where a program says which one it read."""
    return "default" if version is None else str(version)


def activate_policy(
    session: Session, document: str, *, by: str, at: datetime, connection_id: int | None = None, seen: str = ""
) -> int:
    """Set a document as ``set_policy`` does, and record it in the sync log.

    Raises:
        PolicyError: the document breaks a rule.
        PolicyChanged: another version applies than ``seen`` (``etag_of``), which the user read; "" is any.

    """
    if seen:
        _check_unchanged(session, seen, connection_id)
    version = set_policy(session, document, by=by, at=at, connection_id=connection_id)
    text = f"{by} activated policy version {version}."
    if not document and connection_id is not None:
        text = f"{by} made the company follow the general policy again (version {version})."
    sync_log.write(
        session, at=at, kind=LogKind.POLICY_SET, text=text, connection_id=connection_id, facts={"version": version}
    )
    return version


def _check_unchanged(session: Session, seen: str, connection_id: int | None) -> None:
    _policy, version = get_policy(session, connection_id)
    if seen == etag_of(version):
        return
    row = session.get(PolicyVersion, version) if version is not None else None
    current = "the default policy applies"
    if row is not None:
        current = f"version {version} was saved by {row.set_by} on {format_date(row.set_at.date())}"
    raise PolicyChanged(f"The policy has changed since you read it: {current}. Read it again.")


def parse_policy(session: Session, document: str, connection_id: int | None) -> ReminderPolicy:
    """Read a document as it would apply to a connection: with the rates that were added.

    Raises:
        PolicyError: the document breaks a rule.

    """
    return ReminderPolicy.from_toml(document, get_rates(session, connection_id))


def get_rates(session: Session, connection_id: int | None) -> AddedRates:
    """Return the rates that were added to the presets, for a connection or (None) for all."""
    row = newest_policy_row(session, connection_id)
    return parse_rates(row.rates) if row else ()


def newest_policy_row(session: Session, connection_id: int | None) -> PolicyVersion | None:
    """Return the active version of a connection: its own, else the general one."""
    for owner in dict.fromkeys((connection_id, None)):
        query = select(PolicyVersion).where(_is_owned_by(owner)).order_by(_VERSIONS.c.id.desc())
        row = session.scalars(query.limit(1)).first()
        if row is not None and _is_policy(row):
            return row
    return None


def connections_with_own_policy(session: Session) -> list[int]:
    """List the connections that follow a policy of their own."""
    newest = select(func.max(_VERSIONS.c.id)).group_by(_VERSIONS.c.connection_id)
    rows = session.scalars(select(PolicyVersion).where(_VERSIONS.c.id.in_(newest)).order_by(_VERSIONS.c.id))
    return [row.connection_id for row in rows if row.connection_id is not None and row.document]


def _is_policy(row: PolicyVersion) -> bool:
    """Return whether a version is a policy: of a connection's own, one without a document ended it."""
    return bool(row.document or (row.connection_id is None and row.rates))


def list_followers(session: Session, connection_id: int | None) -> list[int]:
    """Return the connections that a document applies to: the one, or all without a document of their own."""
    if connection_id is not None:
        return [connection_id]
    return [row.id or 0 for row in list_connected(session) if not has_own_policy(session, row.id or 0)]


def has_own_policy(session: Session, connection_id: int) -> bool:
    """Return whether a connection has an active document of its own."""
    query = select(PolicyVersion).where(_is_owned_by(connection_id)).order_by(_VERSIONS.c.id.desc())
    newest = session.scalars(query.limit(1)).first()
    return newest is not None and bool(newest.document)


def get_document(session: Session, version: int) -> str:
    """Return the document of a version, as it was set."""
    return session.get_one(PolicyVersion, version).document


def get_document_date(session: Session, version: int) -> datetime:
    """Return since when the document of a version applies: later versions of it may only have added rates."""
    row = session.get_one(PolicyVersion, version)
    previous = find_previous_version(session, row)
    while previous is not None and previous.document == row.document:
        row = previous
        previous = find_previous_version(session, row)
    return row.set_at


def get_version_policy(session: Session, version: int) -> ReminderPolicy:
    """Return the policy of a version, with the rates that had been added by then."""
    return get_version_policies(session, [version])[version]


def get_version_policies(session: Session, versions: Collection[int]) -> dict[int, ReminderPolicy]:
    """Return the policies of versions, by version; one without a document is the default policy.

    A version that today's rules no longer allow is left out.
    """
    policies: dict[int, ReminderPolicy] = {}
    for row in session.scalars(select(PolicyVersion).where(_VERSIONS.c.id.in_(versions))):
        with suppress(PolicyError):
            policies[row.id or 0] = _parse(row.document, row.rates)
    return policies


def list_versions(session: Session, connection_id: int | None) -> list[PolicyVersionItem]:
    """Return the versions of all companies, or those that apply to one, newest first."""
    query = select(PolicyVersion, col(Connection.short_name)).outerjoin(
        Connection, col(Connection.id) == PolicyVersion.connection_id
    )
    if connection_id is not None:
        query = query.where(or_(_is_owned_by(None), _is_owned_by(connection_id)))
    seen: set[int | None] = set()
    items: list[PolicyVersionItem] = []
    for row, name in session.execute(query.order_by(_VERSIONS.c.id.desc())):
        items.append(
            PolicyVersionItem(
                id=row.id,
                connection=name or ALL_COMPANIES,
                connection_id=row.connection_id,
                set_at=row.set_at,
                set_by=row.set_by,
                active=row.connection_id not in seen and _is_policy(row),
                has_document=bool(row.document),
            )
        )
        seen.add(row.connection_id)
    return items


def find_previous_version(session: Session, row: PolicyVersion) -> PolicyVersion | None:
    """Return the version that a version replaced: the one before it of the same connection, or of all."""
    query = select(PolicyVersion).where(_is_owned_by(row.connection_id), _VERSIONS.c.id < row.id)
    return session.scalars(query.order_by(_VERSIONS.c.id.desc()).limit(1)).first()


def _previous_without_control_group(session: Session, version: int) -> tuple[ReminderPolicy, int | None]:
    owner = session.get_one(PolicyVersion, version).connection_id
    query = select(PolicyVersion).where(_is_owned_by(owner), _VERSIONS.c.id < version)
    for row in session.scalars(query.order_by(_VERSIONS.c.id.desc())):
        if row.document and not _parse(row.document, row.rates).control_group_percent:
            return _parse(row.document, row.rates), row.id
    return _default(), None


def _is_owned_by(connection_id: int | None) -> ColumnElement[bool]:
    owner = _VERSIONS.c.connection_id
    return owner.is_(None) if connection_id is None else owner == connection_id


@lru_cache(maxsize=256)
def _parse(document: str, rates: str = "") -> ReminderPolicy:
    return ReminderPolicy.from_toml(document, parse_rates(rates))


@lru_cache(maxsize=1)
def _default() -> ReminderPolicy:
    return ReminderPolicy.default()
