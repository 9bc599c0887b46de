"""What people do to the world: say something about an invoice, and set right what ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import NoResultFound
from sqlmodel import col

from connector.arrangements import agreements
from connector.connections.registry import resume, set_mode
from connector.db.engine import reading, writing
from connector.db.tables import Connection, InvoiceRow
from tests.faults.campaign.recovery import Scene
from tests.faults.campaign.world import World


def record_for_invoice(world: World, number: str, what: Callable[..., object], **said: Any) -> None:
    """Let a person say something about an invoice."""
    with writing(world.app.engine) as session:
        row = session.scalars(
            select(InvoiceRow).where(
                col(InvoiceRow.number) == number, col(InvoiceRow.connection_id) == world.connection
            )
        ).one()
        what(session, row, agreements.Attribution("Ann", world.app.now()), **said)


def record_if_known(world: World, number: str, what: Callable[..., object], **said: Any) -> None:
    """Say something about an invoice, where it has been read already and it can be said of it."""
    with suppress(NoResultFound, ValueError):
        record_for_invoice(world, number, what, **said)


def reconnect_and_resume(scene: Scene) -> bool:
    """Do what a person does after it: connect again, resume, go live. Tell whether the grant had died."""
    world = scene.world
    with reading(world.app.engine) as session:
        health = session.get_one(Connection, world.connection).health
    if health in {"disconnected", "authorization_expired"}:
        world.connect(world.company)
    resume(world.app, world.connection)
    set_mode(world.app, world.connection, "live")
    return health == "authorization_expired"
