"""Help that speaks of what to write, not of Python's types: ``--days DAYS``, not ``--days <int range>``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption
from typer.models import CommandFunctionType

_RANGE_MAX = 10_000  # larger limits are the database's, and tell a reader nothing


class PlainCommand(TyperCommand):
    """A command with plain help."""

    def __init__(self, name: str | None, **more: Any) -> None:
        super().__init__(name, **more)
        for parameter in self.params:
            _simplify(parameter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; what is wrong with them is said in words."""
        from connector.cli.wrong_values import explain_number

        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as problem:
            raise explain_number(problem) from problem

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a text that it cannot read is shown with the name of its option."""
        from connector.cli.wrong_values import WrongValueError, name_option

        try:
            return super().invoke(ctx)
        except WrongValueError as problem:
            raise name_option(problem, ctx) from problem


class CommandSet(typer.Typer):
    """Commands with plain help."""

    def command(self, name: str | None = None, **more: Any) -> Callable[[CommandFunctionType], CommandFunctionType]:
        """Return the decorator that adds a command."""
        return super().command(name, **{"cls": PlainCommand, **more})


def _simplify(parameter: object) -> None:
    if isinstance(parameter, TyperOption) and parameter.metavar is None and not parameter.is_flag:
        parameter.metavar = parameter.opts[-1].lstrip("-").upper()
    if isinstance(parameter, TyperArgument):
        name = parameter.display_name_raw
        usage = name if parameter.required or name.startswith("[") else f"[{name}]"
        dots = "..." if parameter.nargs != 1 and "..." not in usage else ""
        vars(parameter)["_usage_display_name"] = lambda: usage + dots
        vars(parameter)["display_type"] = lambda ctx: ""  # noqa: ARG005 - typer's signature
    if isinstance(parameter, TyperOption | TyperArgument):
        limits = number_range(parameter.min, parameter.max)
        vars(parameter)["_get_number_range_help_str"] = lambda: limits


def number_range(least: float | None, most: float | None) -> str:
    """Return the limits of a number: ``0 to 366``, ``at least 1``; "" for none that matters to people."""
    if most is not None and most <= _RANGE_MAX:
        return f"{least or 0} to {most}"
    return f"at least {least}" if least is not None and most is None else ""
