"""Group I: random lives of a company with everything that may happen, in any order; Hypothesis draws and shrinks them.

A life is a list of steps. Each runs in a child process of its own, from the same start, and is checked after each step.
At its end the faults stop, and nothing must be left unfinished.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from connector.arrangements import agreements
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import OutboxEntry
from connector.outbox import approvals
from connector.restore.backup import restore_backup, write_backup
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState
from sandbox.quickbooks.api_errors import ApiFault
from sandbox.situations import RARE_SITUATIONS, SITUATIONS
from sandbox.xero.organisation import ValidationFailed
from tests.faults.campaign import invariants
from tests.faults.campaign.forks import Outcome, try_in_child
from tests.faults.campaign.in_process import FAULTS
from tests.faults.campaign.kills import EFFECT_PATH, kill_at
from tests.faults.campaign.mailers import list_arrived
from tests.faults.campaign.recovery import Scene, deliver_events, finish, run_once
from tests.faults.campaign.users import reconnect_and_resume, record_if_known
from tests.faults.campaign.world import World

MODES = (ConnectionMode.LIVE, ConnectionMode.LIVE, ConnectionMode.APPROVE, ConnectionMode.OBSERVE)
CALLS_PER_RUN = 20
LINES_PER_RUN = 5000
STEPS_MAX = 16
SATURDAY = 5
OPENING_HOUR, CLOSING_HOUR = 9, 15  # UTC: within the window in London, with time for two hours of syncs


def _open_invoice(world: World, n: int) -> list[str]:
    balances = world.company.open_balances()
    numbers = [number for number in world.company.numbers if balances.get(number)]
    return numbers[n % len(numbers) :][:1] if numbers else []


def _for_one_invoice(change: Callable[[World, str], object]) -> Callable[[Scene, int], None]:
    def step(scene: Scene, n: int) -> None:
        for number in _open_invoice(scene.world, n):
            change(scene.world, number)

    return step


def _add_late_invoice(scene: Scene, n: int) -> None:
    scene.world.add_late_invoice(f"Late{len(scene.world.company.numbers):03} Ltd", n % 40)


def _run(scene: Scene, _n: int) -> None:
    outcome = Outcome("")
    run_once(scene, outcome)
    scene.witness.violations += outcome.violations


def _run_killed(scene: Scene, n: int) -> None:
    kill_at(scene, scene.world.sync, 1 + n % LINES_PER_RUN, EFFECT_PATH)
    scene.world.clock.advance(timedelta(minutes=1))


def _run_with_fault(scene: Scene, n: int) -> None:
    services = scene.world.services
    at, fault = services.count + 1 + n % CALLS_PER_RUN, FAULTS[n // CALLS_PER_RUN % len(FAULTS)]
    services.faults.append((lambda sent: sent.n == at, fault))
    scene.world.sync()
    services.faults.clear()


def _decide_approvals(decide: Callable[..., object]) -> Callable[[Scene, int], None]:
    def step(scene: Scene, _n: int) -> None:
        world = scene.world
        with writing(world.app.engine) as session:
            for entry in session.query(OutboxEntry).filter_by(
                state=OutboxState.AWAITING_APPROVAL, connection_id=world.connection
            ):
                decide(session, [entry.id], by="Ann", at=world.clock.now())

    return step


def _resolve_unconfirmed(scene: Scene, _n: int) -> None:
    """Resolve every unconfirmed delivery truthfully, as a user does."""
    world = scene.world
    arrived = {email.key for email in list_arrived(world)}
    with reading(world.app.engine) as session:
        unconfirmed = [
            (entry.id, entry.key)
            for entry in session.query(OutboxEntry).filter_by(state=OutboxState.UNCONFIRMED)
            if entry.kind in {OutboxKind.EMAIL, OutboxKind.OWNER_EMAIL}
        ]
    for entry_id, key in unconfirmed:
        with writing(world.app.engine) as session:
            approvals.resolve(session, entry_id or 0, sent=key in arrived, by="Ann", at=world.clock.now())


def _back_up(scene: Scene, _n: int) -> None:
    world = scene.world
    world.backup = world.folder / "backup.db"
    write_backup(world.app.engine, world.backup, world.app.keyring, at=world.clock.now())


def _restore(scene: Scene, _n: int) -> None:
    world = scene.world
    backup = world.folder / "backup.db"
    if not backup.exists():
        return
    world.clock.advance(timedelta(seconds=1))
    world.app.engine.dispose()
    restore_backup(f"sqlite:///{world.database}", backup, world.app.keyring, at=world.clock.now())
    world.connect(world.company)
    set_mode(world.app, world.connection, ConnectionMode.LIVE)


def _pass_time(scene: Scene, n: int) -> None:
    world = scene.world
    world.clock.advance(timedelta(hours=n % 60))
    with suppress(ValidationFailed, ApiFault, LookupError):  # another step has paid or voided its invoice first
        world.player.go_on(world.clock.now().date())


def _pass_days(scene: Scene, n: int) -> None:
    """Advance some days with a sync on each, so that situations and reminders go on beside each other."""
    for _day in range(1 + n % 4):
        _pass_time(scene, 24)
        _run(scene, n)


def _start_situation(scene: Scene, n: int) -> None:
    names = [*SITUATIONS, *RARE_SITUATIONS, *RARE_SITUATIONS]
    scene.world.player.start(names[n % len(names)], scene.world.clock.now().date())


def _next_saturday(today: date) -> date:
    return today + timedelta(days=(SATURDAY - today.weekday()) % 7)


def _void(world: World, number: str) -> None:
    """Void an invoice, unless the ledger refuses: Xero does where something was paid."""
    with suppress(ValidationFailed):
        world.company.void(number)


STEPS: dict[str, Callable[[Scene, int], object]] = {
    "late": _add_late_invoice,
    "run": _run,
    "run, killed": _run_killed,
    "run, with a fault": _run_with_fault,
    "time": _pass_time,
    "days": _pass_days,
    "situation": _start_situation,
    "paid": _for_one_invoice(lambda world, number: world.company.pay(number)),
    "paid in part": _for_one_invoice(lambda world, number: world.company.pay(number, "1.00")),
    "voided": _for_one_invoice(_void),
    "disputed": _for_one_invoice(
        lambda world, number: record_if_known(world, number, agreements.record_dispute, reason="wrong goods")
    ),
    "promised": _for_one_invoice(
        lambda world, number: record_if_known(
            world, number, agreements.set_promise, on=world.clock.now().date() + timedelta(3)
        )
    ),
    "promised for a Saturday": _for_one_invoice(
        lambda world, number: record_if_known(
            world, number, agreements.set_promise, on=_next_saturday(world.clock.now().date())
        )
    ),
    "mode": lambda scene, n: set_mode(scene.world.app, scene.world.connection, MODES[n % len(MODES)]),
    "approved": _decide_approvals(approvals.approve),
    "rejected": _decide_approvals(approvals.reject),
    "deliveries resolved": _resolve_unconfirmed,
    "events": lambda scene, n: deliver_events(scene.world, 1 + n % 3, backwards=bool(n % 2)),
    "backed up": _back_up,
    "restored": _restore,
}
FREQUENT_STEPS = ("run, killed", "run, with a fault", "run", "time", "late", "situation", "days")


Life = list[tuple[str, int]]


def run_life(scene: Scene, life: Life, name: str) -> Outcome:
    """Live it, in this process, and check after every step."""
    outcome = Outcome(name)
    for place, (what, n) in enumerate(life):
        STEPS[what](scene, n)
        outcome.sync_runs += what.startswith("run")
        wrong = invariants.find_duplicates(scene.world) + scene.witness.violations
        if wrong:
            outcome.violations += [f"after step {place + 1} of {life}", *wrong]
            return outcome
    reconnect_and_resume(scene)
    _wait_for_send_window(scene.world)
    finish(scene, outcome, strict=False)
    if outcome.violations:
        outcome.violations.insert(0, f"after {life}")
    return outcome


def _wait_for_send_window(world: World) -> None:
    """Advance to a time at which emails are sent, so that nothing planned is left to be looked up and sent later."""
    world.clock.advance(timedelta(minutes=5))
    while world.clock.now().weekday() >= SATURDAY or not OPENING_HOUR <= world.clock.now().hour < CLOSING_HOUR:
        world.clock.advance(timedelta(hours=1))


def run_lives(scene: Scene, count: int, first: int, on_outcome: Callable[[Outcome], bool], label: str) -> None:
    """Live ``count`` random lives while ``on_outcome`` returns true; a failing one is shrunk before it is reported."""
    goes_on = True
    names = st.sampled_from([*STEPS, *FREQUENT_STEPS, *FREQUENT_STEPS])
    steps = st.lists(st.tuples(names, st.integers(0, 2**16)), min_size=4, max_size=STEPS_MAX)
    worst: list[Outcome] = []

    @seed(first)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(steps)
    def one(life: Life) -> None:
        nonlocal goes_on
        if not goes_on:
            return
        folder = scene.folder("lives")

        def case() -> Outcome:
            scene.world.move_to(folder)
            scene.scratch = folder
            return run_life(scene, life, f"{label}: a life of {len(life)} steps")

        outcome = try_in_child(f"{label}: {life}", case, folder)
        if outcome.violations:
            worst.append(outcome)
            raise AssertionError(outcome.violations)
        goes_on = on_outcome(outcome)

    try:
        one()
    except AssertionError:
        on_outcome(worst[-1])
