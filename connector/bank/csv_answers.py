"""What a person says about a CSV file: it is laid over what the columns' names and values tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from connector.app_context import AppContext
from connector.bank.formats.bank_line import StatementError
from connector.bank.formats.csv_mapping import CsvField, CsvMapping, CsvQuestion, DateOrder, guess_mapping, normalise
from connector.bank.formats.readers import find_table
from connector.db.engine import reading
from connector.db.tables import BankCsvMapping, Connection

_SEVERAL = (CsvField.TEXT, CsvField.REFERENCE)
_MONEY = {CsvField.AMOUNT, CsvField.CREDIT, CsvField.DEBIT}
_CURRENCY_LETTERS = 3


@dataclass(frozen=True, slots=True)
class CsvAnswers:
    """What a person said; "" where nothing. ``columns`` are names of columns by field."""

    date_order: str = ""
    decimal_mark: str = ""
    currency: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def says_something(self) -> bool:
        """Whether anything was said."""
        return bool(self.date_order or self.decimal_mark or self.currency or self.columns)


def apply_answers(app: AppContext, connection_id: int, content: bytes, answers: CsvAnswers) -> CsvMapping | None:
    """Return how a file is read by what a person said; None where it is no CSV. Raises ``StatementError``."""
    table = find_table(content)
    if table is None:
        return None
    with reading(app.engine) as session:
        connection = session.get_one(Connection, connection_id)
        kept = session.get(BankCsvMapping, (connection_id, table.signature))
    if kept is not None:
        base = CsvMapping.from_json(kept.mapping)
    else:
        try:
            base = guess_mapping(table, connection.base_currency)
        except CsvQuestion as question:
            base = question.guess
    return replace(
        base,
        date_order=_one_of(answers.date_order, tuple(DateOrder), base.date_order),
        decimal_mark=_one_of(answers.decimal_mark, (",", "."), base.decimal_mark),
        currency=_currency(answers.currency) or base.currency,
        columns=_columns(answers.columns, table.header, base.columns),
    )


def _one_of(said: str, allowed: tuple[str, ...], otherwise: str) -> str:
    if said and said not in allowed:
        raise StatementError(f"{said!r} is none of {', '.join(allowed)}.")
    return said or otherwise


def _currency(said: str) -> str:
    if said and not (len(said) == _CURRENCY_LETTERS and said.isalpha()):
        raise StatementError(f"{said!r} is not a currency.")
    return said


def _columns(
    said: Mapping[str, str], header: tuple[str, ...], otherwise: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    found = dict(otherwise)
    places = {normalise(name): place for place, name in reversed(list(enumerate(header)))}
    if _MONEY.intersection(said):
        for each in _MONEY:
            found.pop(each, None)
    for name, column in said.items():
        if name not in tuple(CsvField):
            raise StatementError(f"{name!r} is none of {', '.join(CsvField)}.")
        place = places.get(normalise(column))
        if place is None:
            raise StatementError(f"The file has no column {column!r}; it has {', '.join(header)}.")
        found[name] = tuple(dict.fromkeys((*found.get(name, ()), place))) if name in _SEVERAL else (place,)
    return found
