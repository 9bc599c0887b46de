"""camt.052, camt.053 and camt.054 of ISO 20022, in all versions that banks send.

Of the versions only three things differ for us: where a party's name stands, how a status is written, and whether a
payment inside an entry has its own amount. Entities are not resolved and a document type is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any, TypeAlias

from lxml import etree

from connector.bank.formats.bank_line import LINES_MAX, BankLine, StatementError, StatementFile
from connector.bank.formats.returns import says_returned
from connector.bank.formats.values import clean, iso_date, plain_amount
from connector.vocabulary import LineStatus, StatementFormat

_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.05"
_STATEMENTS = ("{*}Stmt", "{*}Rpt", "{*}Ntfctn")
_PENDING = frozenset({"PDNG", "INFO", "FUTR"})
_UNKNOWN = frozenset({"", "NOTPROVIDED", "NONREF", "NOT PROVIDED"})
_RETURNS = frozenset({"UPDD", "PRDD", "RRTN", "ARET", "CQRV", "UPCQ"})  # unpaid and reversed direct debits, cheques
_OWN_RETURNS = frozenset({"108", "109", "159", "NRTI"})  # of German banks
_ZERO = Decimal(0)
Element: TypeAlias = Any  # lxml ships no types


def looks_like(content: bytes) -> bool:
    """Return whether a file is XML of this family."""
    return b"camt.05" in content[:4096]


def read(content: bytes) -> StatementFile:
    """Read a statement, report or notification. Raises ``StatementError``."""
    if b"<!DOCTYPE" in content[:65536] or b"<!ENTITY" in content[:65536]:
        raise StatementError("The file has a document type, which no bank's statement has.", 1)
    lines: list[BankLine] = []
    warnings: list[str] = []
    try:
        for namespace, statement in _statements(content):
            lines += _Statement(namespace, statement).lines(warnings)
            statement.clear()
            if len(lines) > LINES_MAX:
                raise StatementError(f"The file has more than {LINES_MAX:,} entries: split it.")
    except etree.XMLSyntaxError as error:
        raise StatementError(f"The XML is broken: {clean(error.msg, 200)}", error.lineno or 0) from None
    return StatementFile(StatementFormat.CAMT, tuple(lines), tuple(warnings))


def _statements(content: bytes) -> Iterator[tuple[str, Element]]:
    options = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
    for _event, element in etree.iterparse(BytesIO(content), events=("end",), tag=_STATEMENTS, **options):
        namespace = etree.QName(element).namespace or ""
        if namespace.startswith(_NAMESPACE):
            yield f"{{{namespace}}}", element


class _Statement:
    """One statement of one account."""

    def __init__(self, namespace: str, element: Element) -> None:
        self._prefix = namespace
        self._paths: dict[str, str] = {}
        self._element = element
        account = self._text(element, "Acct/Id/IBAN") or self._text(element, "Acct/Id/Othr/Id")
        self._account = clean(account, 64).replace(" ", "")
        self._currency = self._text(element, "Acct/Ccy")
        self._line = element.sourceline or 0

    def lines(self, warnings: list[str]) -> list[BankLine]:
        """Return the payments of all entries."""
        found: list[BankLine] = []
        booked = _ZERO
        for entry in self._element.iterchildren(f"{self._prefix}Ntry"):
            of_entry = self._entry(entry)
            found += of_entry
            booked += sum((each.amount for each in of_entry if each.status is not LineStatus.PENDING), _ZERO)
        opening = self._balance("OPBD")
        opening = self._balance("PRCD") if opening is None else opening
        closing = self._balance("CLBD")
        missing = closing - opening - booked if opening is not None and closing is not None else _ZERO
        reversed_sum = sum((each.amount for each in found if each.status is LineStatus.REVERSAL), _ZERO)
        if missing and missing == -2 * reversed_sum:
            # Some banks mark a reversal with the direction of what it takes back: their own balance says so.
            return [_turned(each) if each.status is LineStatus.REVERSAL else each for each in found]
        if missing:
            name = self._account or "an account"
            warnings.append(f"The entries of {name} do not add up to its closing balance: {missing} is missing.")
        return found

    def _entry(self, entry: Element) -> list[BankLine]:
        line = entry.sourceline or self._line
        amount = entry.find(self._path("Amt"))
        if amount is None:
            raise StatementError("An entry has no amount.", line)
        sign = self._sign(entry, line)
        total = sign * plain_amount((amount.text or "").strip(), line)
        status = self._text(entry, "Sts/Cd") or self._text(entry, "Sts")
        is_return = total < 0 and self._is_return(entry)
        booked_on = self._date(entry, "BookgDt", line) or self._date(entry, "ValDt", line) or self._statement_date(line)
        whole = BankLine(
            line=line,
            account=self._account,
            currency=amount.get("Ccy") or self._currency,
            amount=total,
            booked_on=booked_on,
            value_on=self._date(entry, "ValDt", line),
            status=self._status(entry, status, is_return=is_return),
            text=clean(self._text(entry, "AddtlNtryInf")),
            bank_reference=self._reference(entry, "AcctSvcrRef"),
        )
        details = [each for group in entry.findall(self._path("NtryDtls")) for each in self._payments(group)]
        if not details:
            count = self._text(entry, "NtryDtls/Btch/NbOfTxs")
            return [replace(whole, batch=count.isdecimal() and count.lstrip("0") not in {"", "1"})]
        if len(details) == 1:
            return [self._payment(whole, details[0], None)]
        parts = [self._payment(whole, each, self._own_amount(each, whole, sign)) for each in details]
        if any(self._own_amount(each, whole, sign) is None for each in details):
            return [replace(whole, batch=True)]
        if sum((each.amount for each in parts), _ZERO) != total:
            return [replace(whole, batch=True)]  # other currencies, or charges of the batch: only the total is sure
        return [replace(each, batch_amount=total) for each in parts]

    def _payments(self, group: Element) -> list[Element]:
        return list(group.findall(self._path("TxDtls")))

    def _payment(self, whole: BankLine, details: Element, own: Decimal | None) -> BankLine:
        """Return a payment inside an entry: who paid, and what for."""
        is_return = details.find(self._path("RtrInf")) is not None and whole.amount < 0
        is_credit = whole.amount >= 0 or whole.status is LineStatus.REVERSAL or is_return
        party, account = ("Dbtr", "DbtrAcct") if is_credit else ("Cdtr", "CdtrAcct")
        names = [self._party(details, f"RltdPties/{each}") for each in (f"Ultmt{party}", party)]
        purpose = [each.text or "" for each in details.findall(self._path("RmtInf/Ustrd"))]
        structured = [each.text or "" for each in details.findall(self._path("RmtInf/Strd/CdtrRefInf/Ref"))]
        numbers = [each.text or "" for each in details.findall(self._path("RmtInf/Strd/RfrdDocInf/Nb"))]
        notes = [each.text or "" for each in details.findall(self._path("RmtInf/Strd/AddtlRmtInf"))]
        end_to_end = self._reference(details, "Refs/EndToEndId")
        purpose = [*purpose, *numbers, *notes, end_to_end, self._text(details, "AddtlTxInf")]
        text = clean(" ".join(filter(None, purpose))) or whole.text
        return replace(
            whole,
            line=details.sourceline or whole.line,
            amount=whole.amount if own is None else own,
            status=LineStatus.REVERSAL if is_return and whole.status is LineStatus.BOOKED else whole.status,
            payer=clean(next(filter(None, names), ""), 140),
            payer_account=clean(
                self._text(details, f"RltdPties/{account}/Id/IBAN")
                or self._text(details, f"RltdPties/{account}/Id/Othr/Id"),
                64,
            ).replace(" ", ""),
            reference=clean(" ".join(filter(None, structured)), 140),
            text=text if len(list(filter(None, names))) < 2 else clean(f"{text} {names[1]}"),
            bank_reference=self._reference(details, "Refs/AcctSvcrRef") or whole.bank_reference,
            charges=self._charges(details, whole.currency),
        )

    def _own_amount(self, details: Element, whole: BankLine, sign: int) -> Decimal | None:
        """Return the amount of one payment of several, in the account's currency; None where it is not said."""
        for path in ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/InstdAmt/Amt"):
            found = details.find(self._path(path))
            if found is not None and found.get("Ccy", whole.currency) == whole.currency:
                return sign * plain_amount((found.text or "").strip(), details.sourceline or whole.line)
        return None

    def _charges(self, details: Element, currency: str) -> Decimal:
        """Return what banks kept: said as such, or what the payer sent beyond what arrived."""
        found = _ZERO
        for path in ("Chrgs/TtlChrgsAndTaxAmt", "Chrgs/Rcrd/Amt", "Chrgs/Amt"):
            for amount in details.findall(self._path(path)):
                if amount.get("Ccy", currency) == currency and not found:
                    found = plain_amount((amount.text or "0").strip(), details.sourceline or 0)
        return found

    def _balance(self, code: str) -> Decimal | None:
        for balance in self._element.iterchildren(f"{self._prefix}Bal"):
            if self._text(balance, "Tp/CdOrPrtry/Cd") == code:
                line = balance.sourceline or self._line
                return self._sign(balance, line) * plain_amount(self._text(balance, "Amt"), line)
        return None

    def _sign(self, element: Element, line: int) -> int:
        found = self._text(element, "CdtDbtInd")
        if found not in {"CRDT", "DBIT"}:
            raise StatementError(f"{found!r} is neither CRDT nor DBIT.", line)
        return 1 if found == "CRDT" else -1

    def _is_return(self, entry: Element) -> bool:
        """Return whether a debit takes a credit back, by the code of its kind or the bank's words."""
        if self._text(entry, "BkTxCd/Domn/Fmly/SubFmlyCd") in _RETURNS:
            return True
        own = self._text(entry, "BkTxCd/Prtry/Cd").upper()
        return not _OWN_RETURNS.isdisjoint(own.split("+")) or says_returned(self._text(entry, "AddtlNtryInf"))

    def _status(self, entry: Element, status: str, *, is_return: bool) -> LineStatus:
        if status in _PENDING:
            return LineStatus.PENDING
        is_reversal = is_return or self._text(entry, "RvslInd").lower() in {"true", "1"}
        return LineStatus.REVERSAL if is_reversal else LineStatus.BOOKED

    def _statement_date(self, line: int) -> date:
        for path in ("FrToDt/ToDtTm", "FrToDt/ToDt", "CreDtTm"):
            if text := self._text(self._element, path):
                return iso_date(text, line)
        raise StatementError("An entry has no date, and neither has its statement.", line)

    def _date(self, element: Element, name: str, line: int) -> date | None:
        text = self._text(element, f"{name}/Dt") or self._text(element, f"{name}/DtTm")
        return iso_date(text, line) if text else None

    def _party(self, details: Element, path: str) -> str:
        return self._text(details, f"{path}/Pty/Nm") or self._text(details, f"{path}/Nm")

    def _reference(self, element: Element, path: str) -> str:
        text = clean(self._text(element, path), 140)
        return "" if text.upper() in _UNKNOWN else text

    def _text(self, element: Element, path: str) -> str:
        return (element.findtext(self._path(path)) or "").strip()

    def _path(self, path: str) -> str:
        found = self._paths.get(path)
        if found is None:
            found = self._paths[path] = "/".join(f"{self._prefix}{each}" for each in path.split("/"))
        return found


def _turned(line: BankLine) -> BankLine:
    batch_amount = None if line.batch_amount is None else -line.batch_amount
    return replace(line, amount=-line.amount, batch_amount=batch_amount)
