"""Which column of a bank's CSV file means what: guessed from its header and values, or as a person set it.

What the values do not decide is asked, never assumed: whether 03/04 is in March or in April, whether 1.234 is a
thousand. A mapping is kept for all files with the same header.
"""

from __future__ import annotations

import csv
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from enum import StrEnum
from io import StringIO

from connector.bank.formats.bank_line import StatementError
from connector.bank.formats.csv_values import date_parts, decide_date_order, decide_decimal_mark, read_amount, read_date

_OTHER = {",": ".", ".": ",", "": "."}
_HEADER_ROWS = 40  # a bank's preamble is shorter
_COLUMNS_MAX = 200
_NAME_LENGTH_MAX = 200  # of a column
_DELIMITERS = ";,\t|"


class CsvField(StrEnum):
    """What a column can mean."""

    BOOKED_ON = "booked_on"
    VALUE_ON = "value_on"
    AMOUNT = "amount"
    CREDIT = "credit"
    DEBIT = "debit"
    DIRECTION = "direction"
    PAYER = "payer"
    PAYER_ACCOUNT = "payer_account"
    TEXT = "text"
    REFERENCE = "reference"
    CURRENCY = "currency"
    ACCOUNT = "account"
    BALANCE = "balance"
    STATUS = "status"
    BANK_REFERENCE = "bank_reference"
    KIND = "kind"


class DateOrder(StrEnum):
    """The order of day, month and year."""

    DAY_FIRST = "dmy"
    MONTH_FIRST = "mdy"
    YEAR_FIRST = "ymd"


_NAMES: dict[CsvField, str] = {
    CsvField.BOOKED_ON: (
        "booking date|booked on|date|transaction date|posting date|posted date|post date|date completed|completed date|"
        "buchungstag|buchungsdatum|buchung|datum|date comptable|date operation|date d operation|"
        "date de comptabilisation|"
        "fecha|fecha operacion|fecha contable|f. operacion|boekdatum|transactiedatum|data|data contabile|"
        "data operazione|"
        "data movimento|data mov|data lancamento|data mov."
    ),
    CsvField.VALUE_ON: (
        "value date|valuta|valutadatum|wertstellung|wertstellungsdatum|rentedatum|date de valeur|date valeur|"
        "fecha valor|"
        "f. valor|data valuta|data valor"
    ),
    CsvField.AMOUNT: (
        "amount|transaction amount|betrag|betrag eur|umsatz|umsatz in eur|bedrag|montant|importe|importo|valor|"
        "importancia|montante|net amount|amount gbp|amount usd|amount eur"
    ),
    CsvField.CREDIT: (
        "credit|credits|credit amount|paid in|money in|deposit|deposits|haben|gutschrift|credit montant|credit euros|"
        "abono|abonos|haber|ingreso|ingresos|avere|accrediti|entrate|credito|gutschriften|received|credit eur"
    ),
    CsvField.DEBIT: (
        "debit|debits|debit amount|paid out|money out|withdrawal|withdrawals|soll|lastschrift|belastung|belastungen|"
        "cargo|cargos|debe|gasto|dare|addebiti|uscite|debito|debit euros|debit eur"
    ),
    CsvField.DIRECTION: (
        "af bij|bij af|soll/haben|s/h|debit/credit|credit/debit|credit debit indicator|d/c|dc|c/d|dr/cr|cr/dr|"
        "credit debet|bij/af|af/bij|umsatzart|debit credit"
    ),
    CsvField.PAYER: (
        "payer|payee|counterparty|counterparty name|counter party|name|partner name|from|"
        "beguenstigter/zahlungspflichtiger|"
        "begunstigter/zahlungspflichtiger|auftraggeber/empfanger|auftraggeber|name zahlungsbeteiligter|"
        "zahlungspflichtige*r|"
        "zahlungspflichtiger|naam tegenpartij|tegenpartij|naam / omschrijving|naam|contrepartie|ordenante|ordinante|"
        "nombre|debitor|zahler|auftraggeber / begunstigter|name of counterparty|sender|customer name"
    ),
    CsvField.PAYER_ACCOUNT: (
        "counterparty account|counterparty iban|partner iban|kontonummer/iban|iban zahlungsbeteiligter|tegenrekening|"
        "tegenrekening iban/bban|iban tegenpartij|iban contrepartie|from account|payer account|konto-nr./iban"
    ),
    CsvField.TEXT: (
        "description|transaction description|details|narrative|memo|particulars|remittance information|purpose|"
        "verwendungszweck|buchungstext|omschrijving|omschrijving-1|mededelingen|libelle|motif|informations|concepto|"
        "descripcion|observaciones|descrizione|causale|descricao|original description|payment details|description1|"
        "payment reference|communications|mededeling|text|beschreibung|zahlungszweck|notes|movimento"
    ),
    CsvField.REFERENCE: (
        "reference|ref|referenz|kundenreferenz end-to-end|kundenreferenz|end to end reference|end-to-end reference|"
        "referencia|betalingskenmerk|zahlungsreferenz|referenznummer|gestructureerde mededeling|creditor reference|"
        "customer reference"
    ),
    CsvField.CURRENCY: "currency|ccy|wahrung|waehrung|devise|moneda|divisa|munt|muntsoort|moeda|currency code|curr",
    CsvField.ACCOUNT: (
        "account|account number|own account|auftragskonto|rekening|iban/bban|compte|cuenta|conto|conta|iban|"
        "iban auftragskonto|rekeningnummer|account iban|numero de compte"
    ),
    CsvField.BALANCE: (
        "balance|running balance|running bal.|account balance|saldo|solde|saldo nach buchung|saldo na trn|"
        "balance after|"
        "kontostand|saldo contabile|saldo disponible"
    ),
    CsvField.STATUS: "status|state|info|umsatzstatus|estado|stato|transaction status",
    CsvField.KIND: (
        "type|transaction type|tran type|kind|umsatztyp|vorgang|transactiesoort|mutatiesoort|code|type operation|"
        "type d operation|tipo|tipo movimento|tipo movimiento|categoria"
    ),
    CsvField.BANK_REFERENCE: "transaction id|id|fitid|transactie id|volgnr|bank reference|transaction reference|auszug",
}
_FIELD_BY_NAME = {name: field for field, names in _NAMES.items() for name in names.split("|")}
_SEVERAL = frozenset({CsvField.TEXT, CsvField.REFERENCE})
_MONEY = (CsvField.AMOUNT, CsvField.CREDIT, CsvField.DEBIT)


class CsvQuestion(StatementError):
    """What a person has to say before a CSV file can be read; ``header`` and ``sample`` help.

    ``setting`` is what is asked: ``date_order``, ``decimal_mark``, ``columns``.
    """

    def __init__(
        self, reason: str, setting: str, header: Sequence[str], sample: Sequence[str], guess: CsvMapping
    ) -> None:
        """Build from the question, and what was guessed so far."""
        super().__init__(reason)
        self.setting = setting
        self.header = tuple(header)
        self.sample = tuple(sample)
        self.guess = guess


@dataclass(frozen=True, slots=True)
class CsvMapping:
    """How the files of a bank are read. ``columns`` are numbers from 0, several for a text."""

    delimiter: str
    header_row: int  # -1: there is none
    columns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    date_order: str = ""
    decimal_mark: str = ""
    currency: str = ""  # where no column says it

    def first(self, wanted: CsvField) -> int | None:
        """Return the column of a field."""
        return next(iter(self.columns.get(wanted, ())), None)

    def to_json(self) -> dict[str, object]:
        """Return the mapping as it is stored."""
        return {**asdict(self), "columns": {name: list(each) for name, each in self.columns.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> CsvMapping:
        """Return a stored mapping."""
        columns = value.get("columns")
        assert isinstance(columns, Mapping)  # noqa: S101 - as ``to_json`` wrote it
        return cls(
            delimiter=str(value["delimiter"]),
            header_row=int(str(value["header_row"])),
            columns={str(name): tuple(each) for name, each in columns.items()},
            date_order=str(value.get("date_order", "")),
            decimal_mark=str(value.get("decimal_mark", "")),
            currency=str(value.get("currency", "")),
        )


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The rows of a file, each with its line, and where its header is."""

    delimiter: str
    header_row: int
    header: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]

    @property
    def signature(self) -> str:
        """What files of the same bank have in common."""
        text = "|".join([self.delimiter, *map(normalise, self.header)])
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def normalise(name: str) -> str:
    """Return the name of a column in lower case, without accents, brackets and units."""
    plain = unicodedata.normalize("NFKD", name[:_NAME_LENGTH_MAX].replace("ß", "ss"))
    plain = "".join(each for each in plain if not unicodedata.combining(each)).lower()
    plain = re.sub(r"[(\[].*?[)\]]", " ", plain).replace("_", " ").replace("'", " ").replace("’", " ")
    return re.sub(r"\s+", " ", plain).strip(' "*:.\ufeff')


def split_table(text: str) -> CsvTable:
    """Split a file into header and rows; lines before the header are a bank's preamble."""
    best: CsvTable | None = None
    best_score = 0
    for delimiter in _DELIMITERS:
        if delimiter not in text[:20000]:
            continue
        rows = _rows(text, delimiter)
        place, score = _find_header(rows)
        if score > best_score:
            header = tuple(rows[place][1])
            best, best_score = CsvTable(delimiter, rows[place][0] - 1, header, tuple(rows[place + 1 :])), score
    return best if best is not None else _without_header(text)


def _rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    found: list[tuple[int, list[str]]] = []
    try:
        start = 1
        for row in reader:
            if len(row) > _COLUMNS_MAX:
                return []  # whatever this is, it is no table with this delimiter
            if any(cell.strip() for cell in row):
                found.append((start, row))
            start = reader.line_num + 1
    except csv.Error as error:
        raise StatementError(f"The file is no valid CSV: {error}.", reader.line_num) from None
    return found


def _find_header(rows: Sequence[tuple[int, list[str]]]) -> tuple[int, int]:
    """Return which row is the header, and how many columns it names; it has a date and an amount."""
    for place, (_line, row) in enumerate(rows[:_HEADER_ROWS]):
        known = {found for cell in row if (found := _FIELD_BY_NAME.get(normalise(cell))) is not None}
        if CsvField.BOOKED_ON in known | ({CsvField.BOOKED_ON} if CsvField.VALUE_ON in known else set()):
            has_amount = bool(known.intersection(_MONEY))
            if has_amount and len(row) > 2:
                return place, len(known) + 1
    return 0, 0


def _without_header(text: str) -> CsvTable:
    """Return a file whose first row is data already: one date in it, and one amount."""
    for delimiter in _DELIMITERS:
        rows = _rows(text, delimiter) if delimiter in text[:20000] else []
        if rows and len(rows[0][1]) > 2 and any(date_parts(cell) for cell in rows[0][1]):
            names = tuple(f"Column {number}" for number in range(1, len(rows[0][1]) + 1))
            return CsvTable(delimiter, -1, names, tuple(rows))
    raise StatementError("No row names the columns of a bank statement: a date and an amount.", 1)


def guess_mapping(
    table: CsvTable, currency: str, kept: CsvMapping | None = None, today: date | None = None
) -> CsvMapping:
    """Return how a table is read: as kept, with what is missing guessed from names and values.

    Raises:
        CsvQuestion: the values do not decide something.

    """
    columns = dict(kept.columns) if kept and kept.columns else _guess_columns(table)
    guess = CsvMapping(table.delimiter, table.header_row, columns, currency=currency)
    if kept is not None:
        guess = replace(
            guess, date_order=kept.date_order, decimal_mark=kept.decimal_mark, currency=kept.currency or currency
        )
    sample = [delimiter_join(row, table.delimiter) for _line, row in table.rows[:3]]
    booked = guess.first(CsvField.BOOKED_ON)
    money = [column for each in _MONEY for column in columns.get(each, ())]
    if booked is None or not money:
        raise CsvQuestion("Which columns hold the date and the amount?", "columns", table.header, sample, guess)
    dates, amounts = _values(table, [booked]), _values(table, money)
    if any(date_parts(text) and read_date(text, guess.date_order) is None for text in dates):
        guess = replace(guess, date_order="")  # what was kept is of another bank with the same columns
    if any(
        read_amount(text, guess.decimal_mark) is None and read_amount(text, _OTHER[guess.decimal_mark])
        for text in amounts
    ):
        guess = replace(guess, decimal_mark="")
    if not guess.date_order:
        order = decide_date_order(dates, today)
        if order is None:
            question = "Are the dates written with the day first or with the month first?"
            raise CsvQuestion(question, "date_order", table.header, sample, guess)
        guess = replace(guess, date_order=order)
    if not guess.decimal_mark:
        mark = decide_decimal_mark(_values(table, [*money, *columns.get(CsvField.BALANCE, ())]))
        if mark is None:
            question = "Is the comma or the full stop the decimal mark of the amounts?"
            raise CsvQuestion(question, "decimal_mark", table.header, sample, guess)
        guess = replace(guess, decimal_mark=mark)
    return guess


def delimiter_join(row: Iterable[str], delimiter: str) -> str:
    """Return a row as a person sees it in the file."""
    return f"{delimiter} ".join(cell.strip() for cell in row)[:300]


def _values(table: CsvTable, columns: Sequence[int]) -> list[str]:
    return [row[each].strip() for _line, row in table.rows for each in columns if each < len(row) and row[each].strip()]


def _guess_columns(table: CsvTable) -> dict[str, tuple[int, ...]]:
    if table.header_row < 0:
        return _guess_from_values(table)
    found: dict[str, tuple[int, ...]] = {}
    for column, name in enumerate(table.header):
        known = _FIELD_BY_NAME.get(normalise(name))
        if known is not None and (known not in found or known in _SEVERAL):
            found[known] = (*found.get(known, ()), column)
    if CsvField.BOOKED_ON not in found and CsvField.VALUE_ON in found:
        found[CsvField.BOOKED_ON] = found.pop(CsvField.VALUE_ON)
    if CsvField.CREDIT in found and CsvField.DEBIT in found:
        found.pop(CsvField.AMOUNT, None)
    elif CsvField.AMOUNT in found:
        found.pop(CsvField.CREDIT, None)
        found.pop(CsvField.DEBIT, None)
    return found


def _guess_from_values(table: CsvTable) -> dict[str, tuple[int, ...]]:
    """Guess without a header: a single column of dates and a single one of amounts, the rest is text."""
    width = len(table.header)
    rows = [row for _line, row in table.rows if len(row) == width][:200]
    dates = [each for each in range(width) if rows and all(date_parts(row[each]) for row in rows)]
    amounts = [
        each
        for each in range(width)
        if each not in dates
        and rows
        and all(read_amount(row[each], ".") is not None for row in rows)
        and any("." in row[each] or "," in row[each] for row in rows)
    ]
    if not dates or len(amounts) != 1:
        return {}
    texts = tuple(each for each in range(width) if each not in (*dates, *amounts))
    return {CsvField.BOOKED_ON: (dates[0],), CsvField.AMOUNT: (amounts[0],), CsvField.TEXT: texts}
