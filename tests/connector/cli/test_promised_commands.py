"""The commands and options that scripts may rely on: each exists and has help, and every command there is has help."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer.main
from typer.testing import CliRunner

from connector.cli.main import cli

ROOT = typer.main.get_command(cli)

PROMISED = {
    "demo": "--port --no-browser --once",
    "sandbox": "--port --seed",
    "connect": "--no-browser",
    "connections list": "",
    "connections mode": "",
    "connections pause": "",
    "connections resume": "",
    "connections disconnect": "",
    "run": "--connection --dry-run",
    "setup": "",
    "serve": "--host --port --no-worker",
    "worker": "--threads",
    "plan": "--days",
    "explain": "--connection",
    "log show": "--since --csv",
    "log verify": "",
    "status": "",
    "outbox list": "",
    "outbox show": "",
    "outbox approve": "",
    "outbox reject": "",
    "outbox resolve": "--sent --not-sent",
    "customers list": "",
    "customers set": "--segment --tags --owner --hold-until --no-reminders --no-fees --fees-agreed-on --contact",
    "invoices list": "",
    "invoices dispute": "",
    "invoices undispute": "",
    "invoices promise": "",
    "invoices plan": "",
    "invoices pause": "",
    "tasks list": "",
    "fees list": "",
    "fees approve": "",
    "fees waive": "",
    "policy show": "",
    "policy check": "",
    "policy diff": "",
    "policy set": "",
    "policy rates list": "",
    "policy rates add": "",
    "doctor": "",
    "db upgrade": "",
    "db copy": "--trial",
    "backup": "",
    "restore": "",
}


def walk(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    """Yield every command that does something, with its name as it is typed."""
    if isinstance(command, typer.core.TyperGroup):
        for name, each in command.commands.items():
            yield from walk(each, (*path, name))
    elif isinstance(command, typer.core.TyperCommand):
        yield " ".join(path), command


EXISTING = dict(walk(ROOT))


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_command_exists_with_its_options_and_help(name: str) -> None:
    options = {option for each in EXISTING[name].params for option in each.opts}
    assert {*PROMISED[name].split(), "--json"} <= options
    shown = CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="duewell")
    assert (shown.exit_code, f"duewell {name}" in shown.output) == (0, True)


def test_every_command_says_what_it_does_and_so_does_every_option() -> None:
    silent = [name for name, command in EXISTING.items() if not command.help]
    silent += [
        f"{name} {option}"
        for name, command in EXISTING.items()
        for each in command.params
        for option in each.opts
        if option.startswith("--") and not getattr(each, "help", None)
    ]
    assert silent == []


@pytest.mark.parametrize("group", sorted({name.rpartition(" ")[0] for name in EXISTING}))
def test_no_line_of_a_list_of_commands_is_cut(group: str) -> None:
    shown = CliRunner().invoke(cli, [*group.split(), "--help"], prog_name="duewell", env={"COLUMNS": "80"}).output
    listed = shown.partition("Commands:\n")[2].splitlines()
    assert listed
    assert [line for line in listed if line.rstrip().endswith(("...", "…"))] == []
