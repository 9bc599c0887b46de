"""Fifty thousand invoices for a benchmark; their lines come from a small pool, so that they need little memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from sandbox.events import Line
from sandbox.simulation import ITEMS

CUSTOMERS = 500
_LINE_POOL_SIZE = 128


class BulkInvoice(NamedTuple):
    """One invoice: ``customer`` counts from 0 to ``CUSTOMERS``; ``lines`` are shared between invoices."""

    n: int
    customer: int
    on: date
    due_on: date
    lines: tuple[Line, ...]
    total: Decimal
    paid_on: date | None


def bulk_invoices(count: int, today: date, seed: int = 1) -> Iterator[BulkInvoice]:
    """Yield ``count`` invoices of three lines over the last two years, oldest first, four in five of them paid."""
    rng = random.Random(f"{seed}:bulk")
    pool = [_lines(rng) for _ in range(_LINE_POOL_SIZE)]
    for n in range(count):
        lines, total = rng.choice(pool)
        on = today - timedelta(days=730 - 730 * n // count)
        due_on = on + timedelta(days=30)
        paid_on = min(today, due_on + timedelta(days=rng.randint(-5, 20))) if rng.random() < 0.8 else None
        yield BulkInvoice(n, rng.randrange(CUSTOMERS), on, due_on, lines, total, paid_on)


def _lines(rng: random.Random) -> tuple[tuple[Line, ...], Decimal]:
    lines = tuple(_line(rng) for _ in range(3))
    return lines, sum((line.net for line in lines), Decimal(0))


def _line(rng: random.Random) -> Line:
    code, description, price = rng.choice(ITEMS)
    return Line(code, description, Decimal(rng.randint(1, 30)), Decimal(price), 0)
