"""Group G: the disk is full, locked or read-only; the database is copied, and restored an hour later."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

from connector.connections.registry import set_mode
from connector.restore.backup import restore_backup, write_backup
from connector.vocabulary import ConnectionMode
from tests.faults.campaign.disturbed_run import Disturbance
from tests.faults.campaign.in_process import Sent
from tests.faults.campaign.recovery import Scene


def _break_every_begin(statement: str) -> Callable[[Scene, Sent], None]:
    return lambda scene, _at: scene.world.break_transactions(statement)


def _locked(scene: Scene, _at: Sent) -> None:
    scene.world.break_transactions("", busy_timeout_s=0.01)
    holder = sqlite3.connect(scene.world.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    scene.world.kept_alive.append(holder)


def _unlocked(scene: Scene) -> None:
    scene.world.kept_alive.pop().close()
    _repair(scene)


def _repair(scene: Scene) -> None:
    scene.world.break_transactions("")


def _back_up(scene: Scene, _at: Sent) -> None:
    world = scene.world
    write_backup(world.app.engine, world.folder / "backup.db", world.app.keyring, at=world.clock.now())


def _restore(scene: Scene) -> None:
    world = scene.world
    world.clock.advance(timedelta(hours=1))
    world.app.engine.dispose()
    restore_backup(f"sqlite:///{world.database}", world.folder / "backup.db", world.app.keyring, at=world.clock.now())
    world.connect(world.company)  # the tokens in the backup have been refreshed since
    set_mode(world.app, world.connection, ConnectionMode.LIVE)


def _copy_by_hand(scene: Scene, _at: Sent) -> None:
    world = scene.world
    with closing(sqlite3.connect(world.database)) as source, closing(sqlite3.connect(world.folder / "copy")) as copy:
        source.backup(copy)


def _copy_back_by_hand(scene: Scene) -> None:
    world = scene.world
    world.clock.advance(timedelta(hours=1))
    world.app.engine.dispose()
    for ending in ("-wal", "-shm"):
        world.database.with_name(f"duewell.db{ending}").unlink(missing_ok=True)
    (world.folder / "copy").replace(world.database)
    world.database.chmod(0o600)
    world.connect(world.company)
    world.sync()  # detects it, and makes everything wait for approval
    set_mode(world.app, world.connection, ConnectionMode.LIVE)


DISK = [
    Disturbance(
        "G", "the file is copied, and copied back an hour later", _copy_by_hand, _copy_back_by_hand, strict=False
    ),
    Disturbance("G", "the disk is full", _break_every_begin("PRAGMA max_page_count = 1"), _repair),
    Disturbance("G", "the database is read-only", _break_every_begin("PRAGMA query_only = ON"), _repair),
    Disturbance("G", "the database is locked", _locked, _unlocked),
    Disturbance("G", "a backup is made, and restored an hour later", _back_up, _restore, strict=False),
]
