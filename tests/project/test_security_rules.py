"""Rules of this program that no linter knows; ruff's S rules (bandit's) are on for everything else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("connector", "providers", "policies", "migrations")
# What nothing that runs in production may import, and which files may import what only they need.
FORBIDDEN = {
    "pickle",
    "marshal",
    "shelve",
    "random",
    "yaml",
    "xml",
    "ctypes",
    "code",
    "jinja2.sandbox",
}
ONLY_IN = {
    "subprocess": {"connector/bounded_work.py"},  # this program itself, without a shell
    "lxml": {"connector/bank/formats/camt.py"},  # resolves no entities, loads nothing, refuses document types
    "urllib3": {"providers/deadline.py", "providers/http.py", "connector/webhooks/safe_post.py"},
    "urllib.request": set[str](),
    "http.client": {"providers/http.py", "providers/deadline.py"},
    "httpx": set[str](),
    "aiohttp": set[str](),
    "argon2": {"connector/auth/passwords.py"},
    "cryptography": {"connector/secrets/keyring.py", "providers/sendgrid/webhook.py"},
}
CALLS = ("eval", "exec", "compile", "__import__")
UNSAFE_TEMPLATE = re.compile(r"\|\s*safe\b|autoescape\s+(false|off)", re.IGNORECASE)


@cache
def sources() -> list[tuple[str, ast.Module]]:
    return [
        (file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8")))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
    ]


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_modules_that_can_run_code_or_guess_badly_are_not_imported() -> None:
    found = [
        (file, module)
        for file, tree in sources()
        for module in imports(tree)
        if any(is_within(module, each) for each in FORBIDDEN)
    ]
    assert found == []


@pytest.mark.parametrize("package", ONLY_IN)
def test_what_calls_out_or_encrypts_is_imported_in_few_places(package: str) -> None:
    found = {file for file, tree in sources() for module in imports(tree) if is_within(module, package)}
    assert found <= ONLY_IN[package]


def test_certificates_are_checked_and_no_text_is_run() -> None:
    found = []
    for file, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                found.append((file, node.lineno, node.func.id))
            off = [
                each.arg for each in node.keywords if isinstance(each.value, ast.Constant) and each.value.value is False
            ]
            found += [(file, node.lineno, name) for name in off if name in {"verify", "autoescape", "check_hostname"}]
    assert found == []


def test_no_template_switches_escaping_off() -> None:
    files = list((ROOT / "connector").rglob("*.html"))
    assert files
    assert [each.name for each in files if UNSAFE_TEMPLATE.search(each.read_text(encoding="utf-8"))] == []
