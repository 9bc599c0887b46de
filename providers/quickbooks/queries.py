"""Statements of Intuit's query language, and the envelopes their answers come in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from providers.errors import ProviderError
from providers.http import ambiguous_reply_error

PAGE_SIZE: Final = 1000  # the most a query gives; its default of 100 truncates silently
IDS_PER_QUERY: Final = 300  # ids in one IN list
LIST_ENTITIES: Final = frozenset(
    {"Customer", "Term", "Item", "Account"}
)  # their inactive ones are hidden unless asked for

E = TypeVar("E", bound=Struct)


def select(entity: str, *conditions: str, start_position: int = 1) -> str:
    """One page of an entity, in the order of an id that never changes: edits while one pages lose nothing."""
    if entity in LIST_ENTITIES:
        conditions = ("Active IN (true, false)", *conditions)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    page = f"ORDERBY Id STARTPOSITION {start_position} MAXRESULTS {PAGE_SIZE}"
    return f"SELECT * FROM {entity}{where} {page}"  # noqa: S608 - not SQL; values are quoted below


def select_single(entity: str) -> str:
    """What there is one of in a company."""
    return f"SELECT * FROM {entity}"  # noqa: S608 - not SQL, and no value in it


def count(entity: str) -> str:
    """How many there are: progress bars want to know."""
    where = " WHERE Active IN (true, false)" if entity in LIST_ENTITIES else ""
    return f"SELECT COUNT(*) FROM {entity}{where}"  # noqa: S608 - not SQL, and no value in it


def equals(field: str, value: str) -> str:
    """A condition on one value."""
    return f"{field} = {_quoted(value)}"


def is_in(field: str, values: Iterable[str]) -> str:
    """A condition on several values."""
    return f"{field} IN ({', '.join(map(_quoted, values))})"


def chunks(ids: Iterable[str]) -> list[Sequence[str]]:
    """The ids, without repeats, in lists short enough for one statement."""
    all_ids = list(dict.fromkeys(ids))
    return [all_ids[at : at + IDS_PER_QUERY] for at in range(0, len(all_ids), IDS_PER_QUERY)]


def decode_reply(body: bytes, envelope: type[E], kind: str) -> E:
    """The answer's envelope; one that is not as documented cannot be trusted."""
    try:
        return msgspec.json.decode(body, type=envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _undocumented_reply_error(kind, str(error)) from None


def _undocumented_reply_error(kind: str, reason: str) -> ProviderError:
    return ambiguous_reply_error(kind, f"QuickBooks' answer is not as documented: {reason}")


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
