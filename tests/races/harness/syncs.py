"""Races a decision against a sync that is sending: what is decided in time counts, and what was sent is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from connector.db.engine import writing
from connector.db.tables import OutboxEntry
from connector.outbox import approvals
from connector.run import run_connection
from connector.vocabulary import OutboxState, RunOutcome
from tests.races.harness.decisions import DECISIONS
from tests.races.harness.interleave import Outcome, decide_alone, decide_together
from tests.races.harness.pairs import Template
from tests.races.harness.world import World

ASHDOWN, BIRCH, CEDAR = range(3)


class Stop(NamedTuple):
    """What people are told by a decision after which an email must not be sent as it was, and to whom it is."""

    told: str
    customer: int


STOPPING: Mapping[str, Stop] = MappingProxyType(
    {
        "reject": Stop("the email is rejected", ASHDOWN),
        "edit the text": Stop("the email says something else, and awaits approval", ASHDOWN),
        "save template": Stop("the email says something else, and awaits approval", ASHDOWN),
        "pause company": Stop("nothing is sent", ASHDOWN),
        "mode observe": Stop("nothing is sent", ASHDOWN),
        "disconnect": Stop("nothing is sent", ASHDOWN),
        "hold customer": Stop("the customer is not reminded", ASHDOWN),
        "customer stops": Stop("the customer is not reminded", ASHDOWN),
        "another address": Stop("the old address gets nothing more", ASHDOWN),
        "reply": Stop("reminders pause", ASHDOWN),
        "promise": Stop("reminders wait for the promise", BIRCH),
        "customer promises": Stop("reminders wait for the promise", BIRCH),
        "payment plan": Stop("reminders wait for the plan", BIRCH),
        "dispute": Stop("reminders wait for the dispute", BIRCH),
        "customer disputes": Stop("reminders wait for the dispute", BIRCH),
        "pause invoice": Stop("reminders pause", BIRCH),
        "report payment": Stop("reminders pause", BIRCH),
        "erase customer": Stop("nothing about them is left", CEDAR),
    }
)
# Decisions that leave the email to Ashdown right: it is sent, once.
HARMLESS = (
    "approve all", "tag customer", "default owner", "ledger event", "delivered", "sync now", "queue webhooks",
    "change the keys", "take a consent",
)  # fmt: skip
_FINAL = (OutboxState.SENDING, OutboxState.DONE)


@dataclass
class SyncResult:
    """What came of racing a decision against a sync: how often the email was still sent, and what was wrong."""

    decision: str
    interleavings: int = 0
    sent: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass
class _Watch:
    """What was so right after the decision."""

    state: str = ""
    sent: int = 0


def race_sync(template: Template, name: str, stops_max: int = 0) -> SyncResult:
    """Stop a sync before each of its statements, or at some of them, and decide meanwhile."""
    result, customer = SyncResult(name), STOPPING[name].customer if name in STOPPING else ASHDOWN
    for stop_at in _stops(template, customer, stops_max):
        result.interleavings += 1
        with template.copied() as world:
            key = _approve(world, customer)
            before, watch = len(_sent(world, key)), _Watch()

            def decide(world: World, watch: _Watch = watch, key: str = key) -> object:
                returned = DECISIONS[name](world)
                entry = world.entry(world.emails[customer])
                watch.state, watch.sent = (entry.state if entry else "gone"), len(_sent(world, key))
                return returned

            run, decided = decide_together(world, _sync, decide, stop_at)
            sent = _sent(world, key)[before:]
            result.sent += bool(sent)
            result.refused += decided.kind == "refused"
            watch.sent -= before
            entry = world.entry(world.emails[customer])
            state = entry.state if entry is not None else "gone"
            problems = _problems(name, state, run, decided, sent, watch)
            result.failures += [f"sync stopped at statement {stop_at}, then {name!r}: {each}" for each in problems]
    return result


def _stops(template: Template, customer: int, stops_max: int) -> Iterator[int]:
    with template.copied() as world:
        _approve(world, customer)
        outcome, count = decide_alone(world, _sync)
        assert outcome == Outcome("done", "ok"), outcome
    stops = min(stops_max or count, count)
    yield from dict.fromkeys(round((number + 0.5) * count / stops) for number in range(stops))


def _sync(world: World) -> object:
    result = run_connection(world.app, world.connection)
    return result.outcome.value if result.outcome is RunOutcome.OK else f"{result.outcome.value}: {result.reason}"


def _approve(world: World, customer: int) -> str:
    """Approve the email to a customer, and return its key."""
    with writing(world.app.engine) as session:
        approvals.approve(session, [world.emails[customer]], by="ann", at=world.app.now())
        return session.get_one(OutboxEntry, world.emails[customer]).key


def _sent(world: World, key: str) -> Sequence[str]:
    return [each.subject for each in world.sandbox.sendgrid.emails() if each.custom_args.get("duewell_key") == key]


def _problems(
    name: str, state: str, run: Outcome, decided: Outcome, sent: Sequence[str], watch: _Watch
) -> Iterator[str]:
    if "error" in {run.kind, decided.kind} or run.text.startswith("failed"):
        yield f"an error: {run} {decided}"
    if len(sent) > 1:
        yield f"sent {len(sent)} times"
    if bool(sent) != (state == OutboxState.DONE):
        yield f"sent {len(sent)} times, and it is {state}"
    if name in HARMLESS and decided.kind == "done" and not sent and run.text == "ok":
        yield "not sent"
    if name not in STOPPING or decided.kind != "done":
        return
    if name in {"reject", "edit the text"} and sent:  # these are refused once it is being sent
        yield f"done, and the email was sent ({sent[0]!r})"
    if len(sent) > watch.sent and watch.state not in _FINAL:
        yield f"sent although it was {watch.state} when somebody was told that {STOPPING[name].told}"
