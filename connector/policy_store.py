"""Which reminder policy is in force: every document ever set is kept, and the newest one counts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlmodel import Session, SQLModel, col

from connector.audit import sync_log
from connector.connections.registry import list_connected
from connector.db.tables import Connection, PolicyVersion
from connector.vocabulary import LogKind
from policies.customer_policies import is_in_control_group
from policies.policy import ReminderPolicy

_VERSIONS = SQLModel.metadata.tables["policy_version"]


def get_policy(session: Session, connection_id: int | None) -> tuple[ReminderPolicy, int | None]:
    """Return the policy of a connection and the id of its version: its own, else the general one, else the default."""
    return get_policies(session, [connection_id])[connection_id]


def get_policies(
    session: Session, connection_ids: Collection[int | None]
) -> dict[int | None, tuple[ReminderPolicy, int | None]]:
    """Return ``current`` of each of some connections, in one query however many they are."""
    owner = _VERSIONS.c.connection_id
    theirs = or_(owner.is_(None), owner.in_([each for each in connection_ids if each is not None]))
    newest = select(func.max(_VERSIONS.c.id)).where(theirs).group_by(owner)
    rows = session.scalars(select(PolicyVersion).where(_VERSIONS.c.id.in_(newest)))
    set_for = {row.connection_id: (_parsed(row.document), row.id) for row in rows if row.document}
    general = set_for.get(None, (_default(), None))
    return {each: set_for.get(each, general) for each in connection_ids}


class ActivePolicy(NamedTuple):
    """The policy of a connection, and the one before it, which a hold-out keeps."""

    policy: ReminderPolicy
    version: int | None
    previous: ReminderPolicy
    previous_version: int | None
    salt: str

    def for_customer(self, customer_id: str) -> tuple[ReminderPolicy, int | None]:
        """Give the policy that a customer follows, and its version."""
        if self.is_in_holdout(customer_id):
            return self.previous, self.previous_version
        return self.policy, self.version

    def is_in_holdout(self, customer_id: str) -> bool:
        """Tell whether a customer keeps the policy of before."""
        return is_in_control_group(customer_id, self.policy.control_group_percent, self.salt)


def get_active_policy(session: Session, connection_id: int) -> ActivePolicy:
    """Find the policy in force; with a hold-out also the newest one before it that has none."""
    policy, version = get_policy(session, connection_id)
    before, version_before = policy, version
    if policy.control_group_percent and version is not None:
        before, version_before = _previous_policy(session, version)
    return ActivePolicy(policy, version, before, version_before, f"{connection_id}")


def _previous_policy(session: Session, version: int) -> tuple[ReminderPolicy, int | None]:
    owner = session.get_one(PolicyVersion, version).connection_id
    whose = _VERSIONS.c.connection_id.is_(None) if owner is None else _VERSIONS.c.connection_id == owner
    query = select(PolicyVersion).where(whose, _VERSIONS.c.id < version).order_by(_VERSIONS.c.id.desc())
    for row in session.scalars(query):
        if row.document and not _parsed(row.document).control_group_percent:
            return _parsed(row.document), row.id
    return _default(), None


def set_policy(session: Session, document: str, *, by: str, at: datetime, connection_id: int | None = None) -> int:
    """Put a document in force from now on and return its version. Raises ``PolicyError`` where it breaks a rule.

    Without a connection it is the general one. An empty document lets a connection follow the general one again.
    """
    if document:
        ReminderPolicy.from_toml(document)
    row = PolicyVersion(connection_id=connection_id, document=document, set_by=by, set_at=at)
    session.add(row)
    session.flush()
    assert row.id is not None  # noqa: S101  # the database has just given it
    return row.id


def activate_policy(session: Session, document: str, *, by: str, at: datetime, connection_id: int | None = None) -> int:
    """Put a document in force as ``set_policy`` does, and tell so in the sync log: what every door does."""
    version = set_policy(session, document, by=by, at=at, connection_id=connection_id)
    text = f"{by} put policy version {version} in force."
    if not document and connection_id is not None:
        text = f"{by} let it follow the general policy again (version {version})."
    sync_log.write(
        session, at=at, kind=LogKind.POLICY_SET, text=text, connection_id=connection_id, facts={"version": version}
    )
    return version


def list_followers(session: Session, connection_id: int | None) -> list[int]:
    """Name the connections that a document is for: the one, or all that have no document of their own."""
    if connection_id is not None:
        return [connection_id]
    return [row.id or 0 for row in list_connected(session) if not has_own_policy(session, row.id or 0)]


def has_own_policy(session: Session, connection_id: int) -> bool:
    """Tell whether a connection has a document of its own in force."""
    newest = _newest_version(session, connection_id)
    return newest is not None and bool(newest.document)


def get_document(session: Session, version: int) -> str:
    """Return the document of a version, as it was set."""
    return session.get_one(PolicyVersion, version).document


def list_versions(session: Session, connection_id: int | None) -> list[dict[str, Any]]:
    """List the versions of all companies, or of those that hold for one, newest first, and which are in force."""
    query = select(PolicyVersion, col(Connection.short_name)).outerjoin(
        Connection, col(Connection.id) == PolicyVersion.connection_id
    )
    if connection_id is not None:
        owner = col(PolicyVersion.connection_id)
        query = query.where(or_(owner.is_(None), owner == connection_id))
    newest: set[int | None] = set()
    found: list[dict[str, Any]] = []
    for row, name in session.execute(query.order_by(col(PolicyVersion.id).desc())):
        in_force = row.connection_id not in newest and bool(row.document)
        newest.add(row.connection_id)
        shown = {"connection": name or "all", "connection_id": row.connection_id, "set_at": row.set_at}
        found.append(
            {"id": row.id, **shown, "set_by": row.set_by, "active": in_force, "has_document": bool(row.document)}
        )
    return found


def find_previous_version(session: Session, row: PolicyVersion) -> PolicyVersion | None:
    """Find the version that a version of the same connection, or the general one, took the place of."""
    owner = _VERSIONS.c.connection_id
    whose = owner.is_(None) if row.connection_id is None else owner == row.connection_id
    query = select(PolicyVersion).where(whose, _VERSIONS.c.id < row.id)
    return session.scalars(query.order_by(_VERSIONS.c.id.desc()).limit(1)).first()


def _newest_version(session: Session, connection_id: int | None) -> PolicyVersion | None:
    owner = _VERSIONS.c.connection_id
    whose = owner.is_(None) if connection_id is None else owner == connection_id
    return session.scalars(select(PolicyVersion).where(whose).order_by(_VERSIONS.c.id.desc()).limit(1)).first()


@lru_cache(maxsize=256)
def _parsed(document: str) -> ReminderPolicy:
    return ReminderPolicy.from_toml(document)


@lru_cache(maxsize=1)
def _default() -> ReminderPolicy:
    return ReminderPolicy.default()
