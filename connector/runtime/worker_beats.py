"""Which workers are alive, and the end of the leases of those that are not: for the workers of many machines.

A worker says so every few seconds, by the database's clock, which all of them share. One that has been silent for
``SILENT_AFTER`` is taken for dead. Where that is wrong nothing happens twice: as long as nobody else has the lease its
next write renews it, and afterwards the fence refuses what it writes.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text
from sqlmodel import Session

SILENT_AFTER = timedelta(seconds=45)
_BEAT = """
INSERT INTO key_value (connection_id, name, value, stored_at) VALUES (0, :name, 'true', now())
ON CONFLICT (connection_id, name) DO UPDATE SET stored_at = now()
"""
_RELEASE_SILENT = """
WITH silent AS (
    DELETE FROM key_value WHERE connection_id = 0 AND starts_with(name, :prefix)
    AND stored_at < now() - make_interval(secs => :seconds) RETURNING substr(name, length(:prefix) + 1) AS owner
)
UPDATE connection SET lease_until_at = NULL, lease_owner = '' WHERE lease_owner IN (SELECT owner FROM silent)
"""
_PREFIX = "worker "


def beat(session: Session, owner: str) -> None:
    """Note that the process that owns leases by this name is alive."""
    session.execute(text(_BEAT), {"name": _PREFIX + owner})


def release_silent(session: Session) -> None:
    """Release the leases of the workers that have not been heard of for a while."""
    session.execute(text(_RELEASE_SILENT), {"prefix": _PREFIX, "seconds": SILENT_AFTER.total_seconds()})
