"""What users do: record agreements, and reconnect what was disconnected."""

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
from connector.vocabulary import ConnectionHealth, ConnectionMode
from tests.faults.campaign.recovery import Scene
from tests.faults.campaign.world import World


def record_for_invoice(world: World, number: str, record: Callable[..., object], **terms: Any) -> None:
    """Record an agreement about an invoice, as a user does."""
    with writing(world.app.engine) as session:
        row = session.scalars(
            select(InvoiceRow).where(
                col(InvoiceRow.number) == number, col(InvoiceRow.connection_id) == world.connection
            )
        ).one()
        record(session, row, agreements.Attribution("Ann", world.app.now()), **terms)


def record_if_known(world: World, number: str, record: Callable[..., object], **terms: Any) -> None:
    """Record an agreement, if the invoice has been read already and allows it."""
    with suppress(NoResultFound, ValueError):
        record_for_invoice(world, number, record, **terms)


def reconnect_and_resume(scene: Scene) -> bool:
    """Reconnect if needed, resume and go live, as a user does. Return whether the authorisation had expired."""
    world = scene.world
    with reading(world.app.engine) as session:
        health = session.get_one(Connection, world.connection).health
    if health in {ConnectionHealth.DISCONNECTED, ConnectionHealth.AUTHORIZATION_EXPIRED}:
        world.connect(world.company)
    resume(world.app, world.connection)
    set_mode(world.app, world.connection, ConnectionMode.LIVE)
    return health == ConnectionHealth.AUTHORIZATION_EXPIRED
