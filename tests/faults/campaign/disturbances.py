"""Groups B to H: what the network, the services, users, the clock and the disk do around a call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from filelock import FileLock
from sqlalchemy import update
from sqlmodel import col

from connector.app_context import UncountedCalls
from connector.arrangements import agreements
from connector.connections.registry import disconnect, pause, set_mode
from connector.connections.tokens import fresh_token
from connector.db.engine import reading, writing
from connector.db.tables import Connection
from connector.vocabulary import ConnectionMode, RunOutcome
from tests.faults.campaign.disk import DISK
from tests.faults.campaign.disturbed_run import Disturbance, lock_folder
from tests.faults.campaign.in_process import FAULTS, Fault, Sent
from tests.faults.campaign.mailers import MICROSOFT365, SENDGRID
from tests.faults.campaign.recovery import Scene, deliver_events
from tests.faults.campaign.users import record_if_known
from tests.faults.campaign.world import World

# B: the network and the services.


def _fault(fault: Fault, *, once: bool) -> Callable[[Scene, Sent], None]:
    def begin(scene: Scene, at: Sent) -> None:
        def matches(sent: Sent) -> bool:
            same = (sent.service, sent.kind, sent.method) == (at.service, at.kind, at.method)
            return sent.n == at.n if once else same

        scene.world.services.faults.append((matches, fault))

    return begin


def _clear(scene: Scene) -> None:
    scene.world.services.faults.clear()


def _sent_all_the_same(scene: Scene, at: Sent) -> None:
    """Answer with a limit to an email that is sent: Microsoft has done so."""
    if (at.service, at.kind) == (MICROSOFT365, "email"):
        _fault(Fault("a limit", applied=True, status=429, headers=(("Retry-After", "30"),)), once=True)(scene, at)


NETWORK = [
    Disturbance("B", f"{fault.name}, {'once' if once else 'from now on'}", _fault(fault, once=once), _clear)
    for fault in FAULTS
    for once in (True, False)
]
NETWORK.append(Disturbance("B", "a limit, and the email was sent", _sent_all_the_same, _clear))


# F: the ledger or a user changes something between decision and sending.


def _open_invoices(world: World) -> list[str]:
    return [number for number in world.company.numbers if world.company.open_balances().get(number)]


def _for_each_invoice(change: Callable[[World, str], object]) -> Callable[[Scene, Sent], None]:
    def begin(scene: Scene, _at: Sent) -> None:
        for number in _open_invoices(scene.world):
            change(scene.world, number)

    return begin


def _move_due(world: World, number: str) -> None:
    later = (world.clock.now().date() + timedelta(days=40)).isoformat()
    due = {"xero": "due_on", "quickbooks": "DueDate"}[world.company.provider]
    world.company.simulator.edit(number, **world.company.company_filter, **{due: later})


def _pay_for_now(scene: Scene, _at: Sent) -> None:
    company = scene.world.company
    scene.world.kept_alive.append(
        [company.simulator.pay(number, **company.company_filter) for number in _open_invoices(scene.world)]
    )


def _delete_payments(scene: Scene) -> None:
    """Delete the payments again: the invoices are open, and completed steps stay completed."""
    company = scene.world.company
    for payment in scene.world.kept_alive.pop():
        company.simulator.delete_payment(
            payment.id if company.provider == "xero" else payment["Id"], **company.company_filter
        )


def _merge(scene: Scene, _at: Sent) -> None:
    into = scene.world.company.customer("Cedar Ltd")
    scene.world.company.simulator.merge("Ashdown Ltd", into, **scene.world.company.company_filter)


def _archive(scene: Scene, _at: Sent) -> None:
    company = scene.world.company
    end = company.simulator.archive if company.provider == "xero" else company.simulator.deactivate
    end("Ashdown Ltd", **company.company_filter)


def _close_books(scene: Scene, _at: Sent) -> None:
    company, today = scene.world.company, scene.world.clock.now().date()
    if company.provider == "xero":
        company.simulator.organisation(company.external_id).period_lock_on = today
    else:
        scene.world.sandbox.quickbooks.close_books(today, company.external_id)


def _not_strict(name: str, begin: Callable[[Scene, Sent], object]) -> Disturbance:
    return Disturbance("F", name, begin, strict=False)


CHANGES = [
    _not_strict("paid", _for_each_invoice(lambda world, number: world.company.pay(number))),
    _not_strict("paid in part", _for_each_invoice(lambda world, number: world.company.pay(number, "100.00"))),
    _not_strict("voided", _for_each_invoice(lambda world, number: world.company.void(number))),
    _not_strict("credited", lambda scene, _at: scene.world.company.credit("Ashdown Ltd", "500.00")),
    _not_strict("due date moved", _for_each_invoice(_move_due)),
    _not_strict(
        "address changed",
        lambda scene, _at: scene.world.company.simulator.set_email(
            "Ashdown Ltd", "new@ashdown.example", **scene.world.company.company_filter
        ),
    ),
    _not_strict(
        "disputed",
        _for_each_invoice(
            lambda world, number: record_if_known(world, number, agreements.record_dispute, reason="wrong goods")
        ),
    ),
    _not_strict(
        "promised",
        _for_each_invoice(
            lambda world, number: record_if_known(
                world, number, agreements.set_promise, on=world.clock.now().date() + timedelta(9)
            )
        ),
    ),
    _not_strict("paused", lambda scene, _at: pause(scene.world.app, scene.world.connection, by="Ann")),
    _not_strict(
        "observed", lambda scene, _at: set_mode(scene.world.app, scene.world.connection, ConnectionMode.OBSERVE)
    ),
    _not_strict(
        "approval required",
        lambda scene, _at: set_mode(scene.world.app, scene.world.connection, ConnectionMode.APPROVE),
    ),
    Disturbance("F", "paid, and the payment deleted an hour later", _pay_for_now, _delete_payments, strict=False),
    _not_strict("merged into another customer", _merge),
    _not_strict("customer archived", _archive),
    _not_strict("books closed", _close_books),
    _not_strict("disconnected", lambda scene, _at: disconnect(scene.world.app, scene.world.connection)),
]


# E: other processes at the same time.


def _takes_over(scene: Scene, _at: Sent) -> None:
    """Take the lease as another machine: every later write by this one must be rejected."""
    with writing(scene.world.app.engine) as session:
        session.execute(update(Connection).values(fence=col(Connection.fence) + 1, lease_owner="", lease_until_at=None))
    scene.witness.forbidden_reason = "another machine had taken the lease"


def _starts_second_run(scene: Scene, _at: Sent) -> None:
    lock = lock_folder(scene) / f"run-{scene.world.connection}.lock"
    running = FileLock(lock)  # stands for the run's own, which belongs to the parent process
    running.acquire(blocking=False)
    result = scene.world.sync()
    running.release()
    assert result.outcome == RunOutcome.BUSY, result


def _refreshes(scene: Scene, at: Sent) -> None:
    if at.kind == "token":
        return  # it would wait for this call itself
    app = scene.world.app
    with reading(app.engine) as session:
        grant = session.get_one(Connection, scene.world.connection).grant_id or 0
    fresh_token(app, grant, UncountedCalls())


CONCURRENCY = [
    Disturbance("E", "another machine takes over", _takes_over),
    Disturbance("E", "a second run starts", _starts_second_run),
    Disturbance("E", "another process refreshes the token", _refreshes),
]

# C: the email service's events, in any order and any number of times.


def _bounces(scene: Scene, _at: Sent) -> None:
    service = scene.world.sandbox.sendgrid
    if scene.world.mailer == SENDGRID and service.emails():
        service.bounce(len(service.emails()))
    deliver_events(scene.world, 2)


EVENTS = [
    Disturbance("C", "events, 46 times each", lambda scene, _at: deliver_events(scene.world, 46)),
    Disturbance("C", "events, the last first", lambda scene, _at: deliver_events(scene.world, 2, backwards=True)),
    Disturbance("C", "a bounce", _bounces, strict=False),
]

# D: the clock jumps in the middle of a run.


def _jump(by: timedelta) -> Callable[[Scene, Sent], None]:
    return lambda scene, _at: scene.world.clock.advance(by)


JUMPS = [
    Disturbance("D", f"the clock jumps by {by}", _jump(by), strict=False)
    for by in (timedelta(minutes=2), timedelta(hours=1), timedelta(hours=14), timedelta(days=3), timedelta(days=40))
]

# H: names that a ledger may contain.

HOSTILE = (
    "<script>alert(1)</script> Ltd",
    "Robert'); DROP TABLE outbox;-- Ltd",
    "=cmd|'/C calc'!A0 Ltd",
    "{{7*7}} {% for x in y %} Ltd",
    "${jndi:ldap://x} %s %n {0} Ltd",
    "Line\r\nBcc: all@example.com Ltd",
    "\u202eevissergga Ltd",
    "Zero\u200bwidth\ufeff Ltd",
    "🧾🔥 Ltd",
    "Ö" * 200,
    "A\u0301\u0302\u0303" * 30,
    "-- ; /* */ # Ltd",
    '"quoted" \\back\\ Ltd',
    "\x7f\x1b[31mred Ltd",
)


def _add_customer_named(name: str) -> Callable[[Scene, Sent], object]:
    return lambda scene, _at: scene.world.add_late_invoice(name, 9)


HOSTILE_NAMES = [Disturbance("H", f"a customer is named {name[:20]!r}", _add_customer_named(name)) for name in HOSTILE]

ALL = (*NETWORK, *CHANGES, *CONCURRENCY, *EVENTS, *JUMPS, *HOSTILE_NAMES, *DISK)
