"""Class G: the disk is full, locked or read-only; the database is copied away, and comes back an hour later."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

from benchmarks.faults.disturbed import Disturbance
from benchmarks.faults.in_process import Sent
from benchmarks.faults.mending import Scene
from connector.access.connections import set_mode
from connector.backup import restore_backup, write_backup


def _at_every_begin(statement: str) -> Callable[[Scene, Sent], None]:
    return lambda scene, _at: scene.world.spoil(statement)


def _locked(scene: Scene, _at: Sent) -> None:
    scene.world.spoil("", patience_s=0.01)
    holder = sqlite3.connect(scene.world.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    scene.world.kept.append(holder)


def _unlocked(scene: Scene) -> None:
    scene.world.kept.pop().close()
    _whole_again(scene)


def _whole_again(scene: Scene) -> None:
    scene.world.spoil("")


def _back_up(scene: Scene, _at: Sent) -> None:
    world = scene.world
    write_backup(world.installation.engine, world.folder / "backup.db", at=world.clock.now())


def _put_back(scene: Scene) -> None:
    world = scene.world
    world.clock.advance(timedelta(hours=1))
    world.installation.engine.dispose()
    restore_backup(f"sqlite:///{world.database}", world.folder / "backup.db", at=world.clock.now())
    world.connect(world.books)  # the tokens of the backup were used up since
    set_mode(world.installation, world.connection, "live")


def _copy_by_hand(scene: Scene, _at: Sent) -> None:
    world = scene.world
    with closing(sqlite3.connect(world.database)) as source, closing(sqlite3.connect(world.folder / "copy")) as copy:
        source.backup(copy)


def _copy_back_by_hand(scene: Scene) -> None:
    world = scene.world
    world.clock.advance(timedelta(hours=1))
    world.installation.engine.dispose()
    for ending in ("-wal", "-shm"):
        world.database.with_name(f"duewell.db{ending}").unlink(missing_ok=True)
    (world.folder / "copy").replace(world.database)
    world.database.chmod(0o600)
    world.connect(world.books)
    world.hour()  # notices, and lets everything wait for a person, who says:
    set_mode(world.installation, world.connection, "live")


DISK = [
    Disturbance(
        "G", "the file is copied, and copied back an hour later", _copy_by_hand, _copy_back_by_hand, strict=False
    ),
    Disturbance("G", "the disk is full", _at_every_begin("PRAGMA max_page_count = 1"), _whole_again),
    Disturbance("G", "the database is read-only", _at_every_begin("PRAGMA query_only = ON"), _whole_again),
    Disturbance("G", "the database is locked", _locked, _unlocked),
    Disturbance("G", "a backup is made, and put back an hour later", _back_up, _put_back, strict=False),
]
