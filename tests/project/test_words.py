"""Texts are plain English in the field's terms: docs, pages, emails, command help, docstrings, comments, test names."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main

from connector.cli.main import cli

ROOT = Path(__file__).parents[2]
CODE = ("connector", "providers", "policies", "sandbox", "migrations", "benchmarks", "tests")


class Found(NamedTuple):
    """A text that somebody reads, and where it is."""

    where: str
    text: str


# What no reader should meet, with what to write instead.
BANNED = {
    r"make-?believe": "simulated, demo",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bby (itself|themselves|himself)\b": "automatically, on its own",
    r"\b(he|his|him|himself)\b": "they, the customer, the user",
    r"\bthe books\b|\bbooks'|\bits books\b|\bof books\b|\bbooks (say|said|changed|are|can|were)\b": "ledger",
    r"\bdeeds?\b": "past action",
    r"\bin doubt\b|\bdoubts\b|\ba doubt\b": "unconfirmed",
    r"\bmoot\b": "cancelled",
    r"\b(mail|mails|mailed|mailing)\b(?! (server|merge|system|exchanger))": "email",
    r"\b(emails?|fees?|notes?|nothing|reminders?|entr(y|ies)|what|that|it|they|effects?)"
    r" (leaves?|left|has left|have left|may leave)\b"
    r"(?! (out|over|open|blank|empty|alone|behind|unchanged|unpaid|as |it |the |a |no |of|to |in |on |by ))": (
        "send, sent"
    ),
    r"\bown page\b": "customer portal",
    r"\bthe hour\b(?! (of|before|after|it))|\bone hour of\b|\bhour's\b": "sync",
    r"\btimetables?\b": "schedule",
    r"\bwho is who\b|\bworth a look\b|\bwaits for (you|a person)\b|\bin your words\b": "see words.md",
}
# To a bookkeeper a vendor is a supplier.
BANNED_FOR_USERS = {**BANNED, r"\bvendors?\b": "your accounting system, SendGrid, connected services"}
# How a docstring does not begin.
OPENINGS = re.compile(r"^(Tell|Give|Say|Let|Look|Go|Put|Ask whether)s?\b")
# Names that are spelt so outside: settings, endpoints, modules, packages, files.
SPELT_OUTSIDE = re.compile(
    r"`[^`\n]*`|``[^`]*``|https?://\S+|\bMAIL_\w+|/v3/mail\S*|\S+\.(?:md|py|toml|html|png|svg|mjml|db|env|json)\b|mail/send|smtp\S*"
    r"|[Ll]edger'?s? books|e-mail logs|E-Mail|Apple Mail|Mail (Send|Settings)|mail-parser-reply|mail\.send\b"
    r"|Undelivered Mail|Returned mail|the books cannot be changed by the API"
    r"|\bMail\.?\\?\.?(?:Read|Send)\w*"
    r"|no mail host|mail loop|receiving mail at a rate|Send mail as|limit for sending mail|Mail (?:Delivery|service)"
    r"|mail\.(?:gmail|google)\.com",
)


class _Reader(HTMLParser):
    """Collects what a person reads of a template: text, titles, labels, placeholders; no scripts or styles."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipped += tag in {"style", "script"}
        self.texts += [
            value for name, value in attrs if value and name in {"title", "alt", "aria-label", "placeholder"}
        ]

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in {"style", "script"}

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.texts.append(data)


def pages() -> Iterator[Found]:
    for path in sorted([*ROOT.glob("connector/web/templates/*.html"), *ROOT.glob("connector/emails/templates/*.mjml")]):
        reader = _Reader()
        source = path.read_text(encoding="utf-8")
        strings = " \n".join(
            " ".join(re.findall(r'"([^"]*)"', each)) for each in re.findall(r"\{\{.*?\}\}", source, re.DOTALL)
        )
        reader.feed(re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", source, flags=re.DOTALL))
        yield from (Found(path.name, text) for text in [*reader.texts, strings])


def documents() -> Iterator[Found]:
    files = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("*/**/README.md"),
        ROOT / ".env.example",
        ROOT / "Makefile",
    ]
    for path in sorted(set(files)):
        if not any(part.startswith(".") and part != ".env.example" for part in path.relative_to(ROOT).parts):
            yield Found(
                str(path.relative_to(ROOT)), re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
            )


def email_texts() -> Iterator[Found]:
    yield Found("en.toml", (ROOT / "connector/emails/templates/text/en.toml").read_text(encoding="utf-8"))


def command_help() -> Iterator[Found]:
    def walk(command: object, name: str) -> Iterator[Found]:
        yield Found(name, getattr(command, "help", "") or "")
        for option in getattr(command, "params", []):
            yield Found(f"{name} {option.name}", getattr(option, "help", "") or "")
        for below, child in getattr(command, "commands", {}).items():
            yield from walk(child, f"{name} {below}")

    yield from walk(typer.main.get_command(cli), "duewell")


def sources() -> Iterator[Path]:
    for folder in CODE:
        yield from sorted(path for path in (ROOT / folder).rglob("*.py") if path != Path(__file__))


@lru_cache(maxsize=1)  # of the file that is searched for several kinds of texts
def parsed(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def docstrings(path: Path) -> Iterator[Found]:
    for node in parsed(path):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                line = getattr(node, "lineno", 1)
                yield Found(f"{path.relative_to(ROOT)}:{line}", text)


def comments(path: Path) -> Iterator[Found]:
    with io.StringIO(path.read_text(encoding="utf-8")) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT and "noqa" not in token.string.split("#")[1]:
                yield Found(f"{path.relative_to(ROOT)}:{token.start[0]}", token.string)


def messages(path: Path) -> Iterator[Found]:
    """Sentences among the string literals: two words or more, and no docstring, SQL, path or pattern."""
    nodes = parsed(path)
    bare = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            text = node.value
            if re.search(r"[A-Za-z]+ [a-z]+", text) and not re.search(r"\b(SELECT|FROM|CREATE|WHERE)\b|\(\?:", text):
                yield Found(f"{path.relative_to(ROOT)}:{node.lineno}", text)


def test_names(path: Path) -> Iterator[Found]:
    for node in parsed(path):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield Found(f"{path.relative_to(ROOT)}:{node.lineno}", node.name.replace("_", " "))


test_names.__test__ = False  # type: ignore[attr-defined]


def offences(found: Iterator[Found], banned: dict[str, str]) -> list[str]:
    """Return a line for every banned word or form: where, what, and what to write instead."""
    patterns = [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in banned.items()]
    any_of_them = re.compile("|".join(banned), re.IGNORECASE)
    return [
        f"{each.where}: {match.group(0)!r}, write {instead}"
        for each in found
        if any_of_them.search(each.text)
        for text in [SPELT_OUTSIDE.sub(" ", each.text)]
        for pattern, instead in patterns
        for match in pattern.finditer(text)
    ]


@pytest.mark.parametrize("texts", [pages, documents, email_texts, command_help], ids=lambda texts: texts.__name__)
def test_what_users_read_has_no_banned_words(texts: Callable[[], Iterator[Found]]) -> None:
    assert offences(texts(), BANNED_FOR_USERS) == []


def test_what_engineers_read_has_no_banned_words() -> None:
    kinds = (docstrings, comments, messages, test_names)
    assert [line for path in sources() for texts in kinds for line in offences(texts(path), BANNED)] == []


def test_docstrings_begin_with_what_something_is_or_returns() -> None:
    assert [each for path in sources() for each in docstrings(path) if OPENINGS.match(each.text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "a make-believe company",
        "The mail left at noon.",
        "He pays late.",
        "Run one hour of it, the hour",
        "what is in doubt",
        "Who is who",
    ],
)
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    assert offences(iter([Found("here", text)]), BANNED_FOR_USERS)
