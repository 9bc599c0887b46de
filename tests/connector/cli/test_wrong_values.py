"""Every option and argument that takes a number, a date or a choice says so where something else was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperArgument, TyperOption
from typer.testing import CliRunner

from connector.cli.main import cli
from connector.cli.wrong_values import name_of
from tests.connector.installed import Command

Parameter = TyperOption | TyperArgument

# The wrong text stands where "bogus" does; the name is that of the option or argument in which it was written
TEXTS = [
    ("outbox list --state bogus", "--state"),
    ("invoices list --state bogus", "--state"),
    ("invoices list --sort bogus", "--sort"),
    ("invoices promise I-1 bogus", "DATE"),
    ("invoices promise I-1 2026-12-12 --amount bogus", "--amount"),
    ("invoices plan I-1 --count 3 --first 2026-12-12 --every bogus", "--every"),
    ("invoices plan I-1 bogus", "DATE=AMOUNT"),
    ("invoices pause I-1 --until bogus", "--until"),
    ("invoices undo --at bogus", "--at"),
    ("fees waive 1 --reason late --amount bogus", "--amount"),
    ("customers set Ann --segment bogus", "--segment"),
    ("customers set Ann --hold-until bogus", "--hold-until"),
    ("customers set Ann --fees-agreed-on bogus", "--fees-agreed-on"),
    ("customers set Ann --phone bogus", "--phone"),
    ("customers set Ann --language bogus", "--language"),
    ("customers set Ann --withholding bogus", "--withholding"),
    ("customers set Ann --owner bogus", "--owner"),
    ("customers set Ann --sales-rep bogus", "--sales-rep"),
    ("tasks outcome 1 --promised bogus", "--promised"),
    ("tasks outcome 1 --promised 2026-12-12 --amount bogus", "--amount"),
    ("tasks outcome 1 --pause-until bogus", "--pause-until"),
    ("tasks outcome 1 --retry-on bogus", "--retry-on"),
    ("tasks assign 1 --to bogus", "--to"),
    ("log --since bogus", "--since"),
    ("log verify --head bogus", "--head"),
    ("reports bogus", "NAME"),
    ("connect bogus", "SYSTEM"),
    ("connections mode shop bogus", "MODE"),
    ("connections pause shop --until bogus", "--until"),
    ("connections owner shop bogus", "NAME <EMAIL>"),
    ("policy rates list --preset bogus", "--preset"),
    ("policy rates add uk bogus 5 --source bank", "FROM"),
    ("policy rates add uk 2027-01-01 bogus --source bank", "RATE"),
    ("policy rates add bogus 2027-01-01 5 --source bank", "PRESET"),
    ("policy rates add uk 2027-01-01 5 --source bank --checked-on bogus", "--checked-on"),
    ("templates show bogus", "STEP"),
    ("templates show past_due --language bogus", "--language"),
    ("templates show past_due --tone bogus", "--tone"),
    ("privacy retention bogus=4", "KIND=DAYS"),
    ("privacy retention bogus", "KIND=DAYS"),
    ("privacy retention decisions=bogus", "KIND=DAYS"),
    ("users add ann@example.com bogus", "ROLE"),
    ("users digest ann@example.com --at bogus", "--at"),
    ("users digest ann@example.com --time-zone bogus", "--time-zone"),
    ("users passkeys bogus", "REQUIRED"),
    ("tokens create shop bogus", "SCOPE"),
    ("setup --no-ask --confirm bogus", "--confirm"),
    ("bank-details set shop EUR --payee Shop --iban bogus", "--iban"),
    ("db copy bogus", "URL"),
]


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Parameter]]:
    """Yield each parameter of each command that takes a whole number, with what is written before it."""
    for name, each in getattr(command, "commands", {}).items():
        yield from walk(each, (*path, name))
    before: tuple[str, ...] = ()
    for parameter in command.params:
        if isinstance(parameter, Parameter) and parameter.type_descriptor.annotation in {int, list[int]}:
            yield (*path, *before), parameter
        before += ("shop",) if isinstance(parameter, TyperArgument) else ()


NUMBERS = list(walk(typer.main.get_command(cli)))


@pytest.mark.parametrize(
    ("path", "parameter"), NUMBERS, ids=[f"{' '.join(path)} {parameter.name}" for path, parameter in NUMBERS]
)
def test_what_takes_a_number_says_so_about_anything_else(path: tuple[str, ...], parameter: Parameter) -> None:
    wrong = ["abc", "1.5", *([str(int(parameter.max) + 1)] if parameter.max is not None else [])]
    wrong += [str(int(parameter.min) - 1)] if parameter.min is not None and isinstance(parameter, TyperOption) else []
    for text in wrong:
        written = [f"{parameter.opts[0]}={text}"] if isinstance(parameter, TyperOption) else [text]
        said = CliRunner().invoke(cli, [*path, *written])
        assert (said.exit_code, said.stdout) == (2, "")
        message = said.stderr.splitlines()[-1]
        assert message.startswith(f"Error: {name_of(parameter)} takes a whole number")
        assert message.endswith(f", not {text!r}. Nothing was done.")


def test_a_text_that_cannot_be_read_is_named_with_its_option_and_what_it_takes(duewell: Command) -> None:
    problems = []
    for line, name in TEXTS:
        said = duewell(*line.split(), "--json")
        (message, *_more) = [each for each in said.err.splitlines() if each.startswith("Error: ")] or [""]
        is_plain = said.exit_code == 2 and not said.out and message.startswith(f"Error: {name}: ")
        if not is_plain or not message.endswith(".") or "Internal" in message:
            problems.append((line, said.exit_code, said.out, said.err))
    assert problems == []
