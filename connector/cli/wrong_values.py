"""What is said about a value that an option or argument does not take: its name, the value, and what it takes.

Two kinds are known: texts that are no number, found by the parser, and those that a command itself reads: dates,
amounts, choices. The latter know the text, not the option in which it was written; it is found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperArgument, TyperOption

from connector.cli.help_texts import number_range

Parameter = TyperOption | TyperArgument


class WrongValueError(typer.BadParameter):
    """A text that a command could not read; ``text`` is what was written."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


class NamedValueError(typer.BadParameter):
    """A wrong value whose message names the option itself."""

    def format_message(self) -> str:
        """Return the message as it is."""
        return self.message


def explain_number(problem: typer.BadParameter) -> typer.BadParameter:
    """Return a problem that the parser found with a number, in words."""
    parameter, cause = problem.param, problem.__cause__
    errors: Any = getattr(cause, "errors", None)
    if not isinstance(parameter, Parameter) or errors is None:
        return problem
    text = errors()[0].get("input", "")
    limits = number_range(parameter.min, parameter.max)
    preposition = "of" if limits.startswith("at least") else "from"
    takes = f"a whole number {preposition} {limits}" if limits else "a whole number"
    message = f"{name_of(parameter)} takes {takes}, not {str(text)!r}. Nothing was done."
    return NamedValueError(message, ctx=problem.ctx)


def name_option(problem: WrongValueError, ctx: typer.Context) -> typer.BadParameter:
    """Return a problem with the name of the option or argument in which the text was written."""
    written = [each for each in ctx.command.params if _holds(ctx.params.get(each.name or ""), problem.text)]
    names = [name_of(each) for each in written if isinstance(each, Parameter)]
    return NamedValueError(f"{names[0]}: {problem.message}" if names else problem.message, ctx=ctx)


@contextmanager
def wrong_value(error_type: type[Exception], text: str) -> Iterator[None]:
    """Raise ``error_type`` as a problem of a text that was written."""
    try:
        yield
    except error_type as problem:
        raise WrongValueError(str(problem), text) from None


def name_of(parameter: Parameter) -> str:
    """Return what a user writes or reads for a parameter: ``--days``, or ``ID`` for an argument."""
    if isinstance(parameter, TyperOption):
        return max(parameter.opts, key=len)
    metavar = parameter.metavar or ""
    written = metavar if metavar and "|" not in metavar else parameter.name or ""  # on|off is no name
    return written.strip("[].'").upper()


def _holds(value: object, text: str) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds(each, text) for each in value)
    return isinstance(value, str) and _plain(text) in {_plain(value), *map(_plain, re.split("[,=]", value))}


def _plain(text: str) -> str:
    return text.strip().lower().replace("-", "_")
