"""How late fees are booked in a company's ledger: what it would choose by itself, and what a person chose instead."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session

from connector.app_context import AppContext, UncountedCalls
from connector.audit import sync_log
from connector.connections.registry import open_ledger
from connector.db.engine import reading, writing
from connector.db.tables import Connection, KeyValue
from connector.vocabulary import LogKind
from providers.ledger import FeePosting, FeePostingOption

BOOKING_FIELDS = FeePosting._fields
_STORE_KEY = "fee_booking"


class NoSuchChoice(Exception):
    """The ledger has no such account, tax, theme or item; ``str()`` lists those it has."""


def load_booking(session: Session, connection_id: int) -> FeePosting:
    """Give what a person chose; what nobody chose is the ledger's default."""
    return FeePosting(**{part: chosen["id"] for part, chosen in _load_choices(session, connection_id).items()})


def describe_booking(app: AppContext, connection_id: int) -> list[dict[str, Any]]:
    """Ask the ledger, and say part by part what is used, why, and what else there is. Raises ``ProviderError``."""
    choices = open_ledger(app, connection_id, UncountedCalls()).list_fee_posting_options()
    with reading(app.engine) as session:
        chosen = _load_choices(session, connection_id)
    by_field = {field: [one for one in choices if one.field == field] for field in BOOKING_FIELDS}
    return [_describe_field(field, found, chosen.get(field)) for field, found in by_field.items() if found]


def save_choices(app: AppContext, connection_id: int, wanted: dict[str, str], *, by: str = "") -> None:
    """Remember a person's choice of some parts, by id or name; "default" takes one back. Raises ``NoSuchChoice``."""
    choices = open_ledger(app, connection_id, UncountedCalls()).list_fee_posting_options()
    found = {part: _find_choice(choices, part, said) for part, said in wanted.items()}
    with writing(app.engine) as session:
        kept = _load_choices(session, connection_id)
        for part, choice in found.items():
            kept.pop(part, None)
            if choice is not None:
                kept[part] = {"id": choice.id, "name": choice.name}
        session.merge(KeyValue(connection_id=connection_id, name=_STORE_KEY, value=kept, stored_at=app.now()))
        words = ", ".join(f"{part} {choice.name if choice else 'by default'}" for part, choice in found.items())
        name = session.get_one(Connection, connection_id).name
        text = f"Late fees of {name} are booked with: {words}{f' (by {by})' if by else ''}."
        sync_log.write(session, at=app.now(), kind=LogKind.FEE_BOOKING, text=text, connection_id=connection_id)


def _load_choices(session: Session, connection_id: int) -> dict[str, dict[str, str]]:
    row = session.get(KeyValue, (connection_id, _STORE_KEY))
    return dict(row.value) if row is not None else {}


def _describe_field(part: str, choices: list[FeePostingOption], chosen: dict[str, str] | None) -> dict[str, Any]:
    default = next((one for one in choices if one.reason), None)
    reason = "a person chose it" if chosen else default.reason if default else "the ledger decides"
    used = chosen or {"id": default.id if default else "", "name": default.name if default else ""}
    return {
        "setting": part,
        **used,
        "reason": reason,
        "alternatives": [{"id": one.id, "name": one.name} for one in choices if one.id not in {"", used["id"]}],
    }


def _find_choice(choices: list[FeePostingOption], part: str, value: str) -> FeePostingOption | None:
    if value.casefold() == "default":
        return None
    here = [one for one in choices if one.field == part and one.id]
    found = [one for one in here if value == one.id] or [one for one in here if value.casefold() == one.name.casefold()]
    if len(found) != 1:
        known = "; ".join(f"{one.id} ({one.name})" for one in here) or "none"
        message = f"The ledger has no {part} {value!r} for late fees. There are: {known}."
        raise NoSuchChoice(message)
    return found[0]
