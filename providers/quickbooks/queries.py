"""Builds statements of Intuit's query language, and decodes the envelopes of the replies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from providers.calls import CallKind
from providers.errors import ProviderError
from providers.http import ambiguous_reply_error
from providers.record_values import repair_text

PAGE_SIZE: Final = 1000  # the maximum of a query; its default of 100 truncates silently
IDS_PER_QUERY: Final = 300  # in one IN list
LIST_ENTITIES: Final = frozenset({"Customer", "Term", "Item", "Account"})  # inactive ones are only returned on request

E = TypeVar("E", bound=Struct)


def select(entity: str, *conditions: str, start_position: int = 1, size: int = PAGE_SIZE) -> str:
    """Return the statement for one page, ordered by the id, which never changes: edits between pages lose nothing."""
    if entity in LIST_ENTITIES:
        conditions = ("Active IN (true, false)", *conditions)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    page = f"ORDERBY Id STARTPOSITION {start_position} MAXRESULTS {size}"
    return f"SELECT * FROM {entity}{where} {page}"  # noqa: S608 - not SQL; values are quoted below


def select_single(entity: str) -> str:
    """Return the statement for an entity of which a company has only one."""
    return f"SELECT * FROM {entity}"  # noqa: S608 - not SQL, and no value in it


def count(entity: str, *conditions: str) -> str:
    """Return the statement that counts an entity: for progress bars, and where its records cannot be read."""
    if entity in LIST_ENTITIES:
        conditions = ("Active IN (true, false)", *conditions)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT COUNT(*) FROM {entity}{where}"  # noqa: S608 - not SQL, and no value in it


def equals(field: str, value: str) -> str:
    """Return a condition on one value."""
    return f"{field} = {_quoted(value)}"


def is_in(field: str, values: Iterable[str]) -> str:
    """Return a condition on several values."""
    return f"{field} IN ({', '.join(map(_quoted, values))})"


def chunks(ids: Iterable[str], size: int = IDS_PER_QUERY) -> list[Sequence[str]]:
    """Return the distinct ids in lists that are short enough for one statement."""
    distinct = list(dict.fromkeys(ids))
    return [distinct[start : start + size] for start in range(0, len(distinct), size)]


def decode_reply(body: bytes, envelope: type[E], kind: CallKind) -> E:
    """Decode the envelope of a reply. Raises for one that is not as documented: it cannot be trusted."""
    try:
        try:
            return msgspec.json.decode(body, type=envelope)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return msgspec.json.decode(repair_text(body), type=envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _undocumented_reply_error(kind, str(error)) from None


def _undocumented_reply_error(kind: CallKind, reason: str) -> ProviderError:
    return ambiguous_reply_error(kind, f"QuickBooks' reply is not as documented: {reason}")


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
