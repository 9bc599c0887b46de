"""The docs are true: what they name exists, and every setting is explained somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from connector.cli.main import cli
from connector.settings import setting_names

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("providers/**/*.md")])
SETTING = re.compile(r"\b(?:DUEWELL|XERO|QUICKBOOKS|SENDGRID|MICROSOFT365|GMAIL|MAIL|SMTP|EML|OIDC)_[A-Z_]*[A-Z]\b")
COMMAND = re.compile(r"(?:^|[`\s])(?:\.venv/bin/)?duewell ((?:[a-z]|--)[^`\n#]*)", re.MULTILINE)
CODE = re.compile(r"```(\w*)\n(.*?)```|`([^`\n]+)`", re.DOTALL)
COMMANDS = typer.main.get_command(cli)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code(page: Path) -> Iterator[str]:
    for language, block, inline in CODE.findall(page.read_text()):
        if language != "python":
            yield block or inline


def commands(page: Path) -> Iterator[str]:
    for part in code(page):
        yield from (found.strip() for found in COMMAND.findall(part))


def problem_with(words: list[str]) -> str:
    """Follow a command line through the existing commands; return the unknown part, "" if there is none."""
    command: Any = COMMANDS
    walked = ["duewell"]
    for word in words:
        below = getattr(command, "commands", {})
        if word in below:
            command = below[word]
            walked.append(word)
        elif below and word != "--help" and not getattr(command, "default", ""):
            return f"{' '.join(walked)} has no command {word}"
        elif below and word != "--help":
            command = below[command.default]
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
        if word.startswith("--") and word.split("=")[0] not in known:
            return f"{' '.join(walked)} has no {word}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_in_the_docs_exists(page: Path) -> None:
    problems = {line: problem_with(shlex.split(line)) for line in commands(page)}
    assert {line: problem for line, problem in problems.items() if problem} == {}


def test_the_search_for_commands_finds_them() -> None:
    found = [line for page in PAGES for line in commands(page)]
    assert len(found) > 40
    assert problem_with(["fly"]) == "duewell has no command fly"
    assert problem_with(["run", "--faster"]) == "duewell run has no --faster"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_setting_in_the_docs_exists(page: Path) -> None:
    assert set(SETTING.findall(page.read_text())) - set(setting_names()) == set()


def test_every_setting_is_explained_in_the_docs() -> None:
    explained = {name for page in PAGES if "docs" in page.parts for name in SETTING.findall(page.read_text())}
    assert set(setting_names()) - explained == set()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_in_the_docs_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_in_the_docs_exists(page: Path) -> None:
    """Paths in code marks with a folder in front of them, as `connector/run.py`."""
    folders = "connector|providers|policies|migrations|tests|docs|benchmarks"
    said = {part for part in code(page) if re.fullmatch(rf"(?:{folders})/[\w./-]+", part)}
    assert {path for path in said if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_make_target_in_the_docs_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = {word for part in code(page) for word in re.findall(r"(?:^|\s)make ([a-z]+)", part)}
    assert said - targets == set()


def test_the_policy_examples_in_the_docs_are_valid() -> None:
    from policies.policy import ReminderPolicy  # noqa: PLC0415 - only this test needs it

    examples = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/policy.md").read_text(), re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        ReminderPolicy.from_toml(example)


def test_the_docs_show_the_default_schedule() -> None:
    from policies.document import value_at  # noqa: PLC0415
    from policies.policy import ReminderPolicy  # noqa: PLC0415

    document = ReminderPolicy.default().document
    page = (ROOT / "docs/policy.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (?:issue |discount end )?([+−]\s?\d+|off) ", page, re.MULTILINE)
    assert len(rows) >= 13
    said = {step: day if day == "off" else int(day.replace("−", "-").replace(" ", "")) for step, day in rows}
    assert said == {step: value_at(document, (step, "established", "medium")) for step in said}
