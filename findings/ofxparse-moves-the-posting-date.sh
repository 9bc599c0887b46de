#!/usr/bin/env bash
# A payment that a bank in Sydney posted on 10 June is dated 9 June.
#
# OFX dates may carry an offset ("20260610000000[+10:AEST]"). The parser turns them into UTC and drops the zone, so that the date is a
# day early: a payment of the due date becomes early or late by a day, and interest is wrong by one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check ofxparse==0.21
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import io
from importlib.metadata import version
from ofxparse import OfxParser

STATEMENT = b"""OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:USASCII
CHARSET:1252
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

<OFX><BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS><STMTRS><CURDEF>AUD
<BANKACCTFROM><BANKID>062000<ACCTID>10203040<ACCTTYPE>CHECKING</BANKACCTFROM>
<BANKTRANLIST><DTSTART>20260601<DTEND>20260630
<STMTTRN><TRNTYPE>CREDIT<DTPOSTED>20260610000000[+10:AEST]<TRNAMT>640.00<FITID>A1<NAME>KESTREL PTY LTD</STMTTRN>
</BANKTRANLIST><LEDGERBAL><BALAMT>640.00<DTASOF>20260630</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>
"""
text = b"\n".join(line.strip() for line in STATEMENT.splitlines())
(payment,) = OfxParser.parse(io.BytesIO(text)).account.statement.transactions
print("ofxparse", version("ofxparse"), "- posted on 10 June in Sydney, read as", payment.date.isoformat(), payment.date.tzinfo)
raise SystemExit(payment.date.isoformat() != "2026-06-09T14:00:00")
PYTHON
