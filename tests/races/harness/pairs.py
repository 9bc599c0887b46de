"""Races one pair of decisions: every interleaving must end as one of the two orders would, or with a clear refusal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from tests.races.harness.compare import State, difference, read_state
from tests.races.harness.decisions import DECISIONS
from tests.races.harness.interleave import Outcome, decide_alone, decide_together
from tests.races.harness.world import World


class Template(Protocol):
    """A world to be copied."""

    def copied(self) -> AbstractContextManager[World]:
        """Yield a copy."""
        ...


@dataclass(frozen=True)
class _Ending:
    first: Outcome
    second: Outcome
    state: State


@dataclass
class PairResult:
    """What came of a pair: interleavings tried, how they ended, and those that ended wrongly."""

    first: str
    second: str
    interleavings: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass
class Racer:
    """Races decisions on copies of one world; what they do alone and one after the other is computed once."""

    template: Template
    stops_max: int = 0  # at how many of its statements a decision is stopped, evenly spread; 0: at each
    _alone: dict[str, tuple[Outcome, State, int]] = field(default_factory=dict)
    _in_order: dict[tuple[str, str], _Ending] = field(default_factory=dict)

    def race(self, first: str, second: str) -> PairResult:
        """Try a pair with each of the two stopped at each of its statements."""
        result = PairResult(first, second)
        orders = [self._ending(first, second), self._swapped(second, first)]
        for one, two in dict.fromkeys([(first, second), (second, first)]):
            for stop_at in self._stops(one):
                result.interleavings += 1
                with self.template.copied() as world:
                    ended_one, ended_two = decide_together(world, DECISIONS[one], DECISIONS[two], stop_at)
                    state = read_state(world.app)
                ending = _Ending(*((ended_one, ended_two) if one == first else (ended_two, ended_one)), state)
                result.refused += "refused" in {ending.first.kind, ending.second.kind}
                problem = self._problem(ending, orders, (first, second))
                if problem:
                    result.failures.append(f"{one!r} stopped at statement {stop_at}, then {two!r}: {problem}")
        return result

    def decide(self, name: str) -> Outcome:
        """Return how a decision ends where nobody disturbs it."""
        return self._solo(name)[0]

    def _problem(self, ending: _Ending, orders: Sequence[_Ending], names: tuple[str, str]) -> str:
        if "error" in {ending.first.kind, ending.second.kind}:
            return f"an error: {ending.first} {ending.second}"
        if ending in orders:
            return ""
        for outcome, other in ((ending.first, names[1]), (ending.second, names[0])):
            if outcome.kind == "refused" and ending.state == self._solo(other)[1]:
                return ""
        closest = min((difference(ending.state, order.state) for order in orders), key=len)
        return f"neither order gives this: {ending.first}, {ending.second}; {' | '.join(closest)[:1500]}"

    def _stops(self, name: str) -> Iterator[int]:
        count = self._solo(name)[2]
        stops = min(self.stops_max or count, count)
        yield from dict.fromkeys(round((number + 0.5) * count / stops) for number in range(stops))

    def _solo(self, name: str) -> tuple[Outcome, State, int]:
        if name not in self._alone:
            with self.template.copied() as world:
                outcome, statements = decide_alone(world, DECISIONS[name])
                self._alone[name] = (outcome, read_state(world.app), statements)
        return self._alone[name]

    def _ending(self, first: str, second: str) -> _Ending:
        """Return how it ends where the second decision follows the first."""
        if (first, second) not in self._in_order:
            with self.template.copied() as world:
                one, _ = decide_alone(world, DECISIONS[first])
                two, _ = decide_alone(world, DECISIONS[second])
                self._in_order[first, second] = _Ending(one, two, read_state(world.app))
        return self._in_order[first, second]

    def _swapped(self, first: str, second: str) -> _Ending:
        ending = self._ending(first, second)
        return _Ending(ending.second, ending.first, ending.state)
