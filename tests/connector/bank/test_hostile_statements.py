"""Bank statements made to hurt: each costs little processor time, and is refused in a sentence where it is none."""

from __future__ import annotations

import time
from datetime import date

import pytest

from connector.bank.formats.bank_line import StatementError
from connector.bank.formats.readers import WARNINGS_MAX, ReadStatement, find_table, read_statement

BUDGET_S = 0.5  # of processor time; each of these took seconds, or longer than anybody waited
TODAY = date(2026, 6, 30)
MT940 = b":20:x\n:25:acc\n:60F:C260101EUR0,00\n"
OFX = b"OFXHEADER:100\n<OFX><STMTRS><CURDEF>EUR<ACCTID>1<STMTTRN><DTPOSTED>20260101<TRNAMT>1<MEMO>"
CAMT = b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><Stmt>%s</Stmt></Document>'
ENTRY = b"<Ntry><Amt Ccy='EUR'>%s</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>%s</Dt></BookgDt>%s</Ntry>"
BATCH = b"<NtryDtls><Btch><NbOfTxs>" + b"9" * 5000 + b"</NbOfTxs></Btch></NtryDtls>"
BALANCE = b"<Bal><Tp><CdOrPrtry><Cd>%s</Cd></CdOrPrtry></Tp><Amt>%s</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>"


def read(content: bytes) -> ReadStatement:
    find_table(content)  # both are done with each file
    return read_statement(content, currency="EUR", today=TODAY)


def outcome(content: bytes) -> str:
    """Return why a file is refused; "" where it is read."""
    try:
        read(content)
    except StatementError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            b"01,a\n02,x,y,1,260101,,USD\n03,acc,USD/\n16,175,100,,,,x\n"
            + b"88,abcdefghijklmnopqrstuvwx\n" * 50_000
            + b"99,1\n",
            id="a text that goes on for fifty thousand lines",
        ),
        pytest.param(
            MT940 + b":61:260101C1,00NTRFNONREF\n:86:166?20a" + b"?x" * 200_000 + b"\n:62F:C260101EUR1,00\n",
            id="a purpose of four hundred thousand letters",
        ),
        pytest.param(b"Date;Amount;Text" + b";" * 200_000, id="two hundred thousand columns"),
        pytest.param(b"01.01.2026;" * 20_000, id="twenty thousand columns of dates"),
        pytest.param(b"Date;Amount;Text;" + b"(" * 40_000 + b"\n01.01.2026;1,00;x\n", id="a name of brackets"),
    ],
)
def test_no_statement_costs_more_processor_time_than_its_size_explains(content: bytes) -> None:
    began = time.process_time()
    outcome(content)
    assert time.process_time() - began < BUDGET_S


@pytest.mark.parametrize(
    "content",
    [
        CAMT % (ENTRY % (b"1", b"2026-01-01", BATCH)),
        OFX + b"&#" + b"9" * 5000 + b";</STMTTRN></OFX>",
        b"<?xml version='1.0'?><a xmlns:x='camt.05'><x:\xd9\xa3tmt/></a>",
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.0{2}"><Stmt>'
        + (ENTRY % (b"1", b"2026-01-01", b""))
        + b"</Stmt></Document>",
        CAMT % (ENTRY % (b"1", b"x" * 20_000, b"")),
        CAMT % (ENTRY % (b"9" * 20_000, b"2026-01-01", b"")),
    ],
    ids=[
        "a count of 5,000 digits",
        "a character of 5,000 digits",
        "odd names",
        "an odd namespace",
        "a long date",
        "a long amount",
    ],
)
def test_what_no_bank_writes_is_read_or_refused_in_a_short_sentence(content: bytes) -> None:
    assert len(outcome(content)) < 400


def test_entities_that_grow_are_refused_wherever_they_are_declared() -> None:
    declared = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"x" * 100) for n in range(9))
    late = b"<!--camt.05--><!--" + b"x" * 70_000 + b"--><!DOCTYPE a [" + declared + b"]>"
    for place in (ENTRY % (b"&a8;", b"2026-01-01", b""), ENTRY.replace(b"EUR", b"&a8;") % (b"1", b"2026-01-01", b"")):
        with pytest.raises(StatementError):
            read(late + CAMT % place)


def test_of_many_warnings_the_first_are_kept_and_the_others_counted() -> None:
    statement = b"<Stmt>" + BALANCE % (b"OPBD", b"0") + BALANCE % (b"CLBD", b"1") + b"</Stmt>"
    file = read((CAMT.replace(b"<Stmt>%s</Stmt>", b"%s")) % (statement * (WARNINGS_MAX + 30))).file
    assert len(file.warnings) == WARNINGS_MAX + 1
    assert file.warnings[-1] == "30 more warnings are left out."
