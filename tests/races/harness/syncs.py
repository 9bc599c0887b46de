"""Races a decision against a sync that is sending: what is decided in time counts, and what was sent is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from connector.db.engine import writing
from connector.outbox import approvals
from connector.run import run_connection
from connector.vocabulary import OutboxState, RunOutcome
from tests.races.harness.decisions import DECISIONS
from tests.races.harness.interleave import Outcome, decide_alone, decide_together
from tests.races.harness.pairs import Template
from tests.races.harness.world import World

# Decisions after which the email to Ashdown that a sync is about to send must not be sent as it was.
STOPPING: Mapping[str, str] = MappingProxyType(
    {
        "reject": "the email is rejected",
        "edit the text": "the email says something else, and awaits approval",
        "save template": "the email says something else, and awaits approval",
        "pause company": "nothing is sent",
        "mode observe": "nothing is sent",
        "hold customer": "the customer is not reminded",
        "customer stops": "the customer is not reminded",
        "another address": "the old address gets nothing more",
    }
)
# Decisions that leave the email right: it is sent, once.
HARMLESS = ("approve all", "tag customer", "default owner", "ledger event", "delivered", "sync now", "queue webhooks")
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
    result = SyncResult(name)
    for stop_at in _stops(template, stops_max):
        result.interleavings += 1
        with template.copied() as world:
            _approve_first(world)
            before, watch = len(_sent_to_first(world)), _Watch()

            def decide(world: World, watch: _Watch = watch) -> object:
                returned = DECISIONS[name](world)
                entry = world.entry(world.emails[0])
                watch.state, watch.sent = (entry.state if entry else "gone"), len(_sent_to_first(world))
                return returned

            run, decided = decide_together(world, _sync, decide, stop_at)
            sent = _sent_to_first(world)[before:]
            result.sent += bool(sent)
            result.refused += decided.kind == "refused"
            watch.sent -= before
            problems = _problems(world, name, run, decided, sent, watch)
            result.failures += [f"sync stopped at statement {stop_at}, then {name!r}: {each}" for each in problems]
    return result


def _stops(template: Template, stops_max: int) -> Iterator[int]:
    with template.copied() as world:
        _approve_first(world)
        outcome, count = decide_alone(world, _sync)
        assert outcome == Outcome("done", "ok"), outcome
    stops = min(stops_max or count, count)
    yield from dict.fromkeys(round((number + 0.5) * count / stops) for number in range(stops))


def _sync(world: World) -> object:
    result = run_connection(world.app, world.connection)
    return result.outcome.value if result.outcome is RunOutcome.OK else f"{result.outcome.value}: {result.reason}"


def _approve_first(world: World) -> None:
    with writing(world.app.engine) as session:
        approvals.approve(session, world.emails[:1], by="ann", at=world.app.now())


def _sent_to_first(world: World) -> Sequence[str]:
    entry = world.first_key
    return [each.subject for each in world.sandbox.sendgrid.emails() if each.custom_args.get("duewell_key") == entry]


def _problems(
    world: World, name: str, run: Outcome, decided: Outcome, sent: Sequence[str], watch: _Watch
) -> Iterator[str]:
    if "error" in {run.kind, decided.kind} or run.text.startswith("failed"):
        yield f"an error: {run} {decided}"
    if len(sent) > 1:
        yield f"sent {len(sent)} times"
    entry = world.entry(world.emails[0])
    state = entry.state if entry is not None else "gone"
    if bool(sent) != (state == OutboxState.DONE):
        yield f"sent {len(sent)} times, and it is {state}"
    if name in HARMLESS and decided.kind == "done" and not sent and run.text == "ok":
        yield "not sent"
    if name not in STOPPING or decided.kind != "done":
        return
    if name in {"reject", "edit the text"} and sent:  # these are refused once it is being sent
        yield f"done, and the email was sent ({sent[0]!r})"
    if len(sent) > watch.sent and watch.state not in _FINAL:
        yield f"sent although it was {watch.state} when somebody was told that {STOPPING[name]}"
