"""How long a large bank statement takes: reading 100,000 lines alone, and reading with matching, on one core.

``python -m benchmarks.bank [--lines N]`` writes a made year as MT940 and CSV, reads each and matches it with what 300
customers owe. It prints seconds and the ratio to reading alone, how well the year is matched, and exits 1
where reading and matching take more than a minute or the matches are not good enough.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from benchmarks.bank_year import Payment, Year, judge_year, make_year
from connector.bank.facts import MatchFacts, Receipt
from connector.bank.formats.bank_line import BankLine
from connector.bank.formats.readers import read_statement
from connector.bank.matching import match_receipts

SECONDS_MAX = 60.0
PRECISION_MIN, RECALL_MIN = 0.995, 0.9


def main() -> int:
    """Measure, print, and compare with the limits."""
    parser = argparse.ArgumentParser(description="Reading and matching a large bank statement.")
    parser.add_argument("--lines", type=int, default=100_000)
    lines_asked = parser.parse_args().lines
    year = make_year()
    payments = _repeat(year.payments, lines_asked)
    is_quick = True
    for name, content in (("MT940", write_mt940(payments)), ("CSV", write_csv(payments))):
        started_s = time.process_time()
        lines = read_statement(content, currency="GBP").file.lines
        read_s = time.process_time() - started_s
        matched = len(match_receipts(_receipts(lines), _facts(year)).matches)
        total_s = time.process_time() - started_s
        is_quick = is_quick and total_s < SECONDS_MAX
        print(
            f"{name}: {len(lines):,} lines read in {read_s:.1f} s; read and matched in {total_s:.1f} s,"
            f" {total_s / read_s:.1f} times as long; {matched:,} matches"
        )
    judged = judge_year(year)
    print(
        f"A made year: {judged.unbooked:,} payments; {judged.precision:.2%} of what was sure was right,"
        f" {judged.recall:.2%} was surely found; nothing was held for {len(judged.missed)}"
    )
    return 0 if is_quick and judged.precision >= PRECISION_MIN and judged.recall >= RECALL_MIN else 1


def write_mt940(payments: Sequence[Payment]) -> bytes:
    """Return payments as a file of MT940 with subfields, as German banks write them."""
    total = sum((each.receipt.amount for each in payments), Decimal(0))
    rows = [":20:YEAR", ":25:37040044/532013000", ":28C:1/1", ":60F:C260101GBP0,00"]
    for each in payments:
        receipt = each.receipt
        on, amount = f"{receipt.booked_on:%y%m%d%m%d}", f"{receipt.amount:.2f}".replace(".", ",")
        text, payer = receipt.text, receipt.payer
        purpose = "".join(f"?{20 + place}{text[27 * place : 27 * place + 27]}" for place in range(len(text) // 27 + 1))
        rows.append(f":61:{on}CR{amount}NTRFNONREF//B{receipt.id}")
        rows.append(f":86:166?00CREDIT{purpose}?31{receipt.payer_account}?32{payer[:27]}?33{payer[27:54]}")
    rows.append(f":62F:C271231GBP{total:.2f}".replace(".", ","))
    return "\r\n".join([*rows, "-"]).encode("cp1252")


def write_csv(payments: Sequence[Payment]) -> bytes:
    """Return payments as a CSV file with a decimal comma."""
    rows = ["Buchungstag;Name;IBAN Zahlungsbeteiligter;Verwendungszweck;Betrag;Waehrung"]
    for each in payments:
        receipt = each.receipt
        amount = f"{receipt.amount:,.2f}".translate(str.maketrans(",.", ".,"))
        fields = (f"{receipt.booked_on:%d.%m.%Y}", receipt.payer, receipt.payer_account, receipt.text, amount, "GBP")
        rows.append(";".join(fields))
    return "\r\n".join(rows).encode()


def _repeat(payments: Sequence[Payment], count: int) -> list[Payment]:
    """Return so many payments: those of the year, and the same again with other amounts and days."""
    chance, found = random.Random(3), list(payments)
    while len(found) < count:
        one = chance.choice(payments)
        receipt = one.receipt
        other = Receipt(
            id=len(found) + 1,
            currency=receipt.currency,
            amount=Decimal(chance.randrange(5_000, 900_000)) / 100,
            booked_on=receipt.booked_on + timedelta(days=chance.randrange(-20, 20)),
            payer=receipt.payer,
            payer_account=receipt.payer_account,
            text=receipt.text,
        )
        found.append(Payment(one.kind, other, one.family, (), one.booked_on))
    return sorted(found[:count], key=lambda each: each.receipt.booked_on)


def _receipts(lines: Sequence[BankLine]) -> list[Receipt]:
    return [
        Receipt(
            place, line.currency, line.amount, line.booked_on, line.payer, line.payer_account, line.reference, line.text
        )
        for place, line in enumerate(lines, 1)
    ]


def _facts(year: Year) -> MatchFacts:
    """Return what is owed in the middle of the year: a tenth of its invoices are open."""
    invoices = list(year.invoices.values())
    return MatchFacts(
        invoices=tuple(invoices[::10]),
        names=year.names,
        closed=tuple((each.id, each.number, each.family) for place, each in enumerate(invoices) if place % 10),
    )


if __name__ == "__main__":
    raise SystemExit(main())
