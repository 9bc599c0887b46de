"""How late fees are booked in a company's ledger: what it would choose by itself, and what a person chose instead."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session

from connector import sync_log
from connector.access.connections import open_ledger
from connector.database import reading, writing
from connector.installation import Installation, Uncounted
from connector.tables import Connection, Stored
from providers.ledger import Booking, Choice

PARTS = Booking._fields
_NAME = "writeback"


class NoSuchChoice(Exception):
    """The ledger has no such account, tax, theme or item; ``str()`` lists those it has."""


def booking(session: Session, connection_id: int) -> Booking:
    """Give what a person chose; what nobody chose is the ledger's default."""
    return Booking(**{part: chosen["id"] for part, chosen in _chosen(session, connection_id).items()})


def describe(installation: Installation, connection_id: int) -> list[dict[str, Any]]:
    """Ask the ledger, and say part by part what is used, why, and what else there is. Raises ``ProviderError``."""
    choices = open_ledger(installation, connection_id, Uncounted()).fee_choices()
    with reading(installation.engine) as session:
        chosen = _chosen(session, connection_id)
    return [_described(part, [one for one in choices if one.part == part], chosen.get(part)) for part in PARTS
            if any(one.part == part for one in choices)]  # fmt: skip


def choose(installation: Installation, connection_id: int, wanted: dict[str, str], *, by: str = "") -> None:
    """Remember a person's choice of some parts, by id or name; "default" takes one back. Raises ``NoSuchChoice``."""
    choices = open_ledger(installation, connection_id, Uncounted()).fee_choices()
    found = {part: _find(choices, part, said) for part, said in wanted.items()}
    with writing(installation.engine) as session:
        kept = _chosen(session, connection_id)
        for part, choice in found.items():
            kept.pop(part, None)
            if choice is not None:
                kept[part] = {"id": choice.id, "name": choice.name}
        session.merge(Stored(connection_id=connection_id, name=_NAME, value=kept, stored_at=installation.now()))
        words = ", ".join(f"{part} {choice.name if choice else 'by default'}" for part, choice in found.items())
        name = session.get_one(Connection, connection_id).name
        text = f"Late fees of {name} are booked with: {words}{f' (by {by})' if by else ''}."
        sync_log.write(session, at=installation.now(), kind="writeback", text=text, connection_id=connection_id)


def _chosen(session: Session, connection_id: int) -> dict[str, dict[str, str]]:
    row = session.get(Stored, (connection_id, _NAME))
    return dict(row.value) if row is not None else {}


def _described(part: str, choices: list[Choice], chosen: dict[str, str] | None) -> dict[str, Any]:
    default = next((one for one in choices if one.why), None)
    why = "a person chose it" if chosen else default.why if default else "the ledger decides"
    used = chosen or {"id": default.id if default else "", "name": default.name if default else ""}
    return {
        "part": part,
        **used,
        "why": why,
        "others": [{"id": one.id, "name": one.name} for one in choices if one.id not in {"", used["id"]}],
    }


def _find(choices: list[Choice], part: str, said: str) -> Choice | None:
    if said.casefold() == "default":
        return None
    here = [one for one in choices if one.part == part and one.id]
    found = [one for one in here if said == one.id] or [one for one in here if said.casefold() == one.name.casefold()]
    if len(found) != 1:
        known = "; ".join(f"{one.id} ({one.name})" for one in here) or "none"
        message = f"The ledger has no {part} {said!r} for late fees. There are: {known}."
        raise NoSuchChoice(message)
    return found[0]
