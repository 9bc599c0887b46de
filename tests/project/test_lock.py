"""The pinned dependencies: complete, with hashes, and without index URLs, which are up to each machine."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pinned() -> dict[str, Version]:
    """Return the pins of the lock; a name can appear more than once, with different markers."""
    return {canonicalize_name(name): Version(version) for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", LOCK)}


def wanted() -> list[Requirement]:
    asked = (
        PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"] + PROJECT["build-system"]["requires"]
    )
    return [Requirement(each) for each in asked]


def test_the_lock_pins_a_matching_version_of_every_dependency() -> None:
    found = pinned()
    unfit = [
        str(each) for each in wanted() if found.get(canonicalize_name(each.name), Version("0")) not in each.specifier
    ]
    assert unfit == []


def test_every_pin_has_a_hash() -> None:
    entries = re.split(r"(?m)^(?=[\w.-]+==)", LOCK)[1:]
    assert len(entries) > 50
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_contains_no_index_urls() -> None:
    assert re.findall(r"(?i)\S*(?:https?:|file:|git\+|--index|--extra-index|--find-links|-i )\S*", LOCK) == []


def test_every_runtime_dependency_is_explained_with_the_pinned_release() -> None:
    lines = re.findall(r"(?m)^\| `([\w-]+)` \| [^|]+ \| ([\d.]+)", (ROOT / "docs" / "dependencies.md").read_text())
    explained = {canonicalize_name(name): Version(version.rstrip(".")) for name, version in lines}
    runtime = {canonicalize_name(Requirement(each).name) for each in PROJECT["project"]["dependencies"]}
    assert set(explained) == runtime
    assert {name: pinned()[name].base_version for name in runtime} == {
        name: str(version) for name, version in explained.items()
    }


@pytest.mark.parametrize(
    ("target", "program", "script", "said"),
    [
        ("outdated", "python", "exit 1", "No package index can be reached"),
        ("audit", "pip-audit", 'case "$*" in *--strict*) exit 1;; esac', "the advisories could not be looked up"),
    ],
)
def test_what_could_not_be_looked_up_is_no_good_news(
    tmp_path: Path, target: str, program: str, script: str, said: str
) -> None:
    (tmp_path / program).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / program).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["make", "READY=", f"BIN={tmp_path}", target]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (2, True)
