"""How late fees are posted in a company's ledger: what the ledger uses by default, and what a user chose instead."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session

from connector.app_context import AppContext, UncountedCalls
from connector.audit import sync_log
from connector.connections.registry import open_ledger
from connector.db.engine import reading, writing
from connector.db.tables import Connection, KeyValue
from connector.vocabulary import LogKind
from providers.ledger import FeePosting, FeePostingOption

SETTINGS = FeePosting._fields
_STORE_KEY = "fee_posting"


class UnknownOption(Exception):
    """The ledger has no such account, tax, theme or item; ``str()`` lists those it has."""


@dataclass(frozen=True, slots=True)
class Option:
    """An account, tax, theme or item of the ledger."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class PostingSetting:
    """What is used for one setting of a fee posting, why, and what could be chosen instead."""

    setting: str
    id: str
    name: str
    reason: str
    alternatives: list[Option]


def load_fee_posting(session: Session, connection_id: int) -> FeePosting:
    """Return the chosen options; "" leaves a setting to the ledger."""
    return FeePosting(**{setting: chosen.id for setting, chosen in _load_choices(session, connection_id).items()})


def describe_fee_posting(app: AppContext, connection_id: int) -> list[PostingSetting]:
    """Ask the ledger for its options and describe each setting it has. Raises ``ProviderError``."""
    options = open_ledger(app, connection_id, UncountedCalls()).list_fee_posting_options()
    with reading(app.engine) as session:
        choices = _load_choices(session, connection_id)
    return [
        _describe([one for one in options if one.field == setting], setting, choices.get(setting))
        for setting in SETTINGS
        if any(one.field == setting for one in options)
    ]


def save_choices(app: AppContext, connection_id: int, wanted: dict[str, str], *, by: str = "") -> None:
    """Store a user's choices, by id or name; "default" leaves a setting to the ledger again.

    Raises:
        UnknownOption: The ledger has no such option.
        ProviderError: The ledger cannot be asked.
    """
    options = open_ledger(app, connection_id, UncountedCalls()).list_fee_posting_options()
    found = {setting: _find_option(options, setting, value) for setting, value in wanted.items()}
    with writing(app.engine) as session:
        choices = _load_choices(session, connection_id)
        for setting, option in found.items():
            choices.pop(setting, None)
            if option is not None:
                choices[setting] = Option(option.id, option.name)
        value = {setting: {"id": option.id, "name": option.name} for setting, option in choices.items()}
        session.merge(KeyValue(connection_id=connection_id, name=_STORE_KEY, value=value, stored_at=app.now()))
        chosen = ", ".join(f"{setting} {option.name if option else 'by default'}" for setting, option in found.items())
        name = session.get_one(Connection, connection_id).name
        text = f"Late fees of {name} are posted with: {chosen}{f' (by {by})' if by else ''}."
        sync_log.write(session, at=app.now(), kind=LogKind.FEE_POSTING, text=text, connection_id=connection_id)


def _load_choices(session: Session, connection_id: int) -> dict[str, Option]:
    row = session.get(KeyValue, (connection_id, _STORE_KEY))
    return {setting: Option(**value) for setting, value in row.value.items()} if row is not None else {}


def _describe(options: list[FeePostingOption], setting: str, chosen: Option | None) -> PostingSetting:
    default = next((one for one in options if one.reason), None)
    used = chosen or Option(default.id if default else "", default.name if default else "")
    reason = "chosen by a user" if chosen else default.reason if default else "decided by the accounting system"
    alternatives = [Option(one.id, one.name) for one in options if one.id not in {"", used.id}]
    return PostingSetting(setting, used.id, used.name, reason, alternatives)


def _find_option(options: list[FeePostingOption], setting: str, value: str) -> FeePostingOption | None:
    if value.casefold() == "default":
        return None
    known = [one for one in options if one.field == setting and one.id]
    found = [one for one in known if value == one.id] or [
        one for one in known if value.casefold() == one.name.casefold()
    ]
    if len(found) != 1:
        names = "; ".join(f"{one.id} ({one.name})" for one in known) or "none"
        message = f"The accounting system has no {setting} {value!r} for late fees. It has: {names}."
        raise UnknownOption(message)
    return found[0]
