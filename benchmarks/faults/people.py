"""What people do to the world: say something about an invoice, and set right what ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import NoResultFound
from sqlmodel import col

from benchmarks.faults.mending import Scene
from benchmarks.faults.world import World
from connector.access.connections import resume, set_mode
from connector.database import reading, writing
from connector.people import agreements
from connector.tables import Connection, InvoiceRow


def say(world: World, number: str, what: Callable[..., object], **said: Any) -> None:
    """Let a person say something about an invoice."""
    with writing(world.installation.engine) as session:
        row = session.scalars(
            select(InvoiceRow).where(
                col(InvoiceRow.number) == number, col(InvoiceRow.connection_id) == world.connection
            )
        ).one()
        what(session, row, agreements.Word("Ann", world.installation.now()), **said)


def say_if_known(world: World, number: str, what: Callable[..., object], **said: Any) -> None:
    """Say something about an invoice, where it has been read already and it can be said of it."""
    with suppress(NoResultFound, ValueError):
        say(world, number, what, **said)


def live_again(scene: Scene) -> bool:
    """Do what a person does after it: connect again, resume, go live. Tell whether the grant had died."""
    world = scene.world
    with reading(world.installation.engine) as session:
        health = session.get_one(Connection, world.connection).health
    if health in {"disconnected", "reconnect"}:
        world.connect(world.books)
    resume(world.installation, world.connection)
    set_mode(world.installation, world.connection, "live")
    return health == "reconnect"
