"""Situations that real ledgers and real people produce, played day by day on a simulated company.

Each is a generator that works at a desk and yields the number of days until it goes on. The demo plays those in
``SITUATIONS``; the fault campaign starts them and the ``RARE_SITUATIONS`` at random. docs/situations.md lists what
duewell does in each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import date, timedelta

from sandbox.desks import Desk

Play = Generator[int, None, None]
SITUATIONS: dict[str, Callable[[Desk, date], Play]] = {}
RARE_SITUATIONS: dict[str, Callable[[Desk, date], Play]] = {}
_SATURDAY = 6  # ISO


def situation(play: Callable[[Desk, date], Play]) -> Callable[[Desk, date], Play]:
    """Register a situation under its function's name."""
    SITUATIONS[play.__name__] = play
    return play


def rare_situation(play: Callable[[Desk, date], Play]) -> Callable[[Desk, date], Play]:
    """Register a situation that takes too long for the demo's days, or would take too much of its room."""
    RARE_SITUATIONS[play.__name__] = play
    return play


class Player:
    """Plays situations at one desk; ``start`` and ``go_on`` are called with the date."""

    def __init__(self, desk: Desk) -> None:
        """Play nothing yet."""
        self._desk = desk
        self._started: set[str] = set()
        self._playing: list[tuple[date, Play]] = []

    def start(self, name: str, today: date) -> None:
        """Start a situation, once."""
        if name not in self._started:
            self._started.add(name)
            play = {**SITUATIONS, **RARE_SITUATIONS}[name]
            self._playing.append((today, play(self._desk, today)))
            self.go_on(today)

    def go_on(self, today: date) -> None:
        """Continue every situation that is due by one step."""
        playing, self._playing = self._playing, []
        for due_on, play in playing:
            wait = 0 if due_on > today else next(play, None)
            if wait is not None:
                self._playing.append((today + timedelta(days=wait) if wait else due_on, play))


def _overdue(desk: Desk, name: str, amount: str, today: date, days: int) -> tuple[str, str]:
    """Add a customer with an invoice that is so many days overdue; return both ids."""
    customer = desk.add_customer(name, f"accounts@{name.lower().replace(' ', '-')}.example")
    due_on = today - timedelta(days=days)
    return customer, desk.add_invoice(customer, amount, on=due_on - timedelta(days=30), due_on=due_on)


# Money that is not where one looks


@situation
def credited_in_full(desk: Desk, today: date) -> Play:
    """An overdue invoice is credited in full: nobody paid anything."""
    customer, invoice = _overdue(desk, "Coldharbour Crates", "900.00", today, 12)
    yield 2
    desk.credit(invoice, customer, "900.00")


@situation
def paid_and_credited(desk: Desk, today: date) -> Play:
    """1,000 of 1,200 is paid and the rest credited."""
    customer, invoice = _overdue(desk, "Pennywhistle Fabrics", "1200.00", today, 12)
    yield 2
    desk.credit(invoice, customer, "200.00")
    yield 1
    desk.pay(invoice)


@situation
def voided(desk: Desk, today: date) -> Play:
    """An overdue invoice is voided."""
    _, invoice = _overdue(desk, "Nettlecombe Nursery", "450.00", today, 9)
    yield 3
    desk.void(invoice)


@situation
def payment_came_back(desk: Desk, today: date) -> Play:
    """A payment is deleted after the customer was thanked for it."""
    _, invoice = _overdue(desk, "Bouncing Barrels", "780.00", today, 8)
    yield 2
    payment = desk.pay(invoice)
    yield 6  # by then the customer was thanked
    desk.delete_payment(payment)


@situation
def crumb_of_credit(desk: Desk, today: date) -> Play:
    """Three hundredths on account beside a large overdue invoice."""
    customer, _ = _overdue(desk, "Crumbley Mills", "12000.00", today, 10)
    desk.pay_on_account(customer, "0.03")
    yield 1


@situation
def partly_covered(desk: Desk, today: date) -> Play:
    """A payment on account covers a part of what is overdue."""
    customer, _ = _overdue(desk, "Halfway Haulage", "1000.00", today, 10)
    desk.pay_on_account(customer, "400.00")
    yield 1


@situation
def tax_withheld(desk: Desk, today: date) -> Play:
    """The customer pays 90 % and keeps 10 % that the law makes them withhold."""
    _, invoice = _overdue(desk, "Withheld Works", "2000.00", today, 6)
    yield 1
    desk.pay(invoice, "1800.00")


@situation
def a_cent_short(desk: Desk, today: date) -> Play:
    """A payment is one hundredth short."""
    _, invoice = _overdue(desk, "Shortfall Shirts", "600.00", today, 6)
    yield 1
    desk.pay(invoice, "599.99")


@situation
def paid_on_time_entered_late(desk: Desk, today: date) -> Play:
    """A payment dated before the due date is entered weeks later."""
    _, invoice = _overdue(desk, "Slowpost Signs", "640.00", today, 25)
    yield 4
    desk.pay(invoice, on=today - timedelta(days=27))


@situation
def paid_most(desk: Desk, today: date) -> Play:
    """Nearly everything is paid four weeks late; a small rest stays."""
    _, invoice = _overdue(desk, "Mostly Masonry", "10000.00", today, 28)
    yield 1
    desk.pay(invoice, "9500.00")


@situation
def part_paid_on_time_entered_late(desk: Desk, today: date) -> Play:
    """A payment of a part, dated before the due date, is entered weeks later."""
    _, invoice = _overdue(desk, "Tardy Tanners", "900.00", today, 25)
    yield 10
    desk.pay(invoice, "600.00", on=today - timedelta(days=27))


@situation
def paid_with_the_fee(desk: Desk, today: date) -> Play:
    """The customer pays the invoice and whatever late fee was charged on it."""
    customer, _ = _overdue(desk, "Honest Harness", "1400.00", today, 25)
    yield 12
    desk.pay_all(customer)


@situation
def written_off(desk: Desk, today: date) -> Play:
    """A bad debt is written off by a payment that brought no money."""
    _, invoice = _overdue(desk, "Sunken Salvage", "310.00", today, 12)
    yield 2
    desk.write_off(invoice)


@situation
def dispute_won_in_part(desk: Desk, today: date) -> Play:
    """After weeks of a dispute a part is credited; the rest is paid some days later."""
    customer, invoice = _overdue(desk, "Quarrel Quarry", "1000.00", today, 12)
    yield 5
    desk.credit(invoice, customer, "400.00")
    yield 4
    desk.pay(invoice)


@situation
def parent_paid_on_account(desk: Desk, today: date) -> Play:
    """A sub-customer's invoice is overdue, and its parent has paid as much on account."""
    parent = desk.add_customer("Harbour Hill Group", "ap@harbour-hill.example")
    branch = desk.add_customer("Harbour Hill East", "", parent=parent)
    due_on = today - timedelta(days=10)
    desk.add_invoice(branch, "300.00", on=due_on - timedelta(days=30), due_on=due_on)
    desk.pay_on_account(parent, "300.00")
    yield 1


# Records as they are


@situation
def same_number_twice(desk: Desk, today: date) -> Play:
    """Two invoices of a customer carry one number, and a third has none, where the ledger allows it."""
    customer, first = _overdue(desk, "Doublet Dairy", "151.00", today, 20)
    due_on = today - timedelta(days=9)
    desk.add_invoice(customer, "60.00", on=due_on - timedelta(days=30), due_on=due_on, number="")
    desk.repeat_number(desk.add_invoice(customer, "151.00", on=due_on - timedelta(days=30), due_on=due_on), first)
    yield 1


@situation
def shared_mailbox(desk: Desk, today: date) -> Play:
    """Two customer records have one mailbox."""
    due_on = today - timedelta(days=7)
    for name in ("Twinbrook Ltd", "Twinbrook (Leeds) Ltd"):
        customer = desk.add_customer(name, "accounts@twinbrook.example")
        desk.add_invoice(customer, "210.00", on=due_on - timedelta(days=30), due_on=due_on)
    yield 1


@situation
def written_address(desk: Desk, today: date) -> Play:
    """The address field holds a name and two addresses."""
    customer = desk.add_customer("Scribble Stationers", "Accounts <ap@scribble.example>; owner@scribble.example")
    due_on = today - timedelta(days=7)
    desk.add_invoice(customer, "330.00", on=due_on - timedelta(days=30), due_on=due_on)
    yield 1


@situation
def merged(desk: Desk, today: date) -> Play:
    """The customer is merged into another record."""
    customer, _ = _overdue(desk, "Merrow Motors", "520.00", today, 11)
    other, _ = _overdue(desk, "Merrow Motors Ltd", "75.00", today, 2)
    yield 3
    desk.merge(customer, other)


@situation
def merged_without_invoices(desk: Desk, today: date) -> Play:
    """A customer who never had an invoice is merged: in QuickBooks, only a webhook names both."""
    empty = desk.add_customer("Umber Umbrellas", "accounts@umber-umbrellas.example")
    other, _ = _overdue(desk, "Umber Umbrellas Ltd", "240.00", today, 9)
    yield 3
    desk.merge(empty, other)


# Time


@situation
def due_date_moved_out(desk: Desk, today: date) -> Play:
    """The due date moves out after the first reminder."""
    _, invoice = _overdue(desk, "Laterly Logistics", "860.00", today, 6)
    yield 3
    desk.move_due_date(invoice, today + timedelta(days=5))


@situation
def entered_late(desk: Desk, today: date) -> Play:
    """An invoice dated two months back is entered today."""
    yield 3
    on = today - timedelta(days=60)
    customer = desk.add_customer("Backdated Bakery", "accounts@backdated-bakery.example")
    desk.add_invoice(customer, "410.00", on=on, due_on=on + timedelta(days=30))
    yield 1


@situation
def due_on_a_saturday(desk: Desk, today: date) -> Play:
    """An invoice was due on a Saturday."""
    days = (today.isoweekday() - _SATURDAY) % 7 + 7
    _overdue(desk, "Saturday Sails", "275.00", today, days)
    yield 1


# People


@situation
def address_fails(desk: Desk, today: date) -> Play:
    """The address does not exist: the email bounces."""
    desk.fail_address("accounts@gone-gardens.example", "bounce")
    _overdue(desk, "Gone Gardens", "390.00", today, 8)
    yield 1


@situation
def mailbox_full(desk: Desk, today: date) -> Play:
    """The mailbox is full: the email is returned, though the address is right."""
    desk.fail_address("accounts@fullbox-furniture.example", "blocked")
    _overdue(desk, "Fullbox Furniture", "390.00", today, 8)
    yield 1


# Rare


@rare_situation
def raised_after_payment(desk: Desk, today: date) -> Play:
    """An overdue invoice is paid in full, and raised by 50 a week later."""
    _, invoice = _overdue(desk, "Upward Upholstery", "600.00", today, 20)
    yield 4
    desk.pay(invoice)
    yield 7
    desk.change_total(invoice, "650.00")


@rare_situation
def raised_beside_payment(desk: Desk, today: date) -> Play:
    """An overdue invoice is raised, and half of it paid some days later."""
    _, invoice = _overdue(desk, "Growing Gardens", "800.00", today, 10)
    yield 3
    desk.change_total(invoice, "900.00")
    yield 4
    desk.pay(invoice, "450.00")


@rare_situation
def archived_after_warning(desk: Desk, today: date) -> Play:
    """The customer is archived after an email announced a late fee."""
    customer, _ = _overdue(desk, "Shuttered Shoes", "480.00", today, 15)
    yield 4
    desk.archive(customer)


@rare_situation
def moved_out_after_fee(desk: Desk, today: date) -> Play:
    """The due date is moved out after a late fee was charged."""
    _, invoice = _overdue(desk, "Graceful Granite", "1100.00", today, 25)
    yield 12
    desk.move_due_date(invoice, today + timedelta(days=20))


@rare_situation
def came_back_in_part(desk: Desk, today: date) -> Play:
    """A payment that was thanked for is entered again with less, and the rest is paid once more."""
    _, invoice = _overdue(desk, "Halting Hardware", "720.00", today, 8)
    yield 2
    payment = desk.pay(invoice)
    yield 4
    desk.delete_payment(payment)
    yield 1
    desk.pay(invoice, "500.00")
    yield 9
    desk.pay(invoice)


@rare_situation
def moved_to_another_parent(desk: Desk, today: date) -> Play:
    """A sub-customer is billed with another parent after the first reminder, and later themselves."""
    first, second = (desk.add_customer(f"Wexcombe {name}", f"ap@wexcombe-{name.lower()}.example") for name in "AB")
    branch = desk.add_customer("Wexcombe Depot", "depot@wexcombe.example", parent=first)
    due_on = today - timedelta(days=8)
    desk.add_invoice(branch, "340.00", on=due_on - timedelta(days=30), due_on=due_on)
    yield 3
    desk.bill(branch, second)
    yield 12
    desk.bill(branch, "")


@rare_situation
def paid_twice(desk: Desk, today: date) -> Play:
    """An invoice is paid, and paid once more on account; another one falls due."""
    customer, invoice = _overdue(desk, "Doubletree Dairy", "250.00", today, 9)
    yield 2
    desk.pay(invoice)
    yield 1
    desk.pay_on_account(customer, "250.00")
    due_on = today - timedelta(days=2)
    desk.add_invoice(customer, "410.00", on=due_on - timedelta(days=30), due_on=due_on)


@rare_situation
def reopened(desk: Desk, today: date) -> Play:
    """A voided invoice is written anew under another number, and the first address of its customer fails."""
    desk.fail_address("accounts@second-start.example", "blocked")
    customer, invoice = _overdue(desk, "Second Start", "515.00", today, 9)
    yield 3
    desk.void(invoice)
    yield 1
    desk.fail_address("accounts@second-start.example", "delivered")
    desk.add_invoice(customer, "505.00", on=today, due_on=today + timedelta(days=7))
