"""A revision of the product in a folder of its own, with its own environment, and commands run in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
_OWN_SETTINGS = ("DUEWELL_", "XERO_", "QUICKBOOKS_", "SENDGRID_", "MAIL_", "PYTHON")


@dataclass(frozen=True)
class Cost:
    """What a process took: processor seconds and peak memory in MiB."""

    seconds: float
    mib: float


@dataclass(frozen=True)
class Revision:
    """A revision that can be run: its name in the table, its files and its Python."""

    name: str
    folder: Path
    python: Path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of its processes, without settings of whoever measures."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)}
        return {**inherited, "PYTHONPATH": str(self.folder), **(more or {})}

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of ``duewell ARGUMENTS``, by the entry point that its pyproject names."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))
        module, _, function = project["project"]["scripts"]["duewell"].partition(":")
        return [str(self.python), "-c", f"import sys; from {module} import {function}; {function}()", *arguments]

    def module(self, names: tuple[str, ...], *arguments: str) -> list[str]:
        """Return the command line of the first of these benchmarks that the revision has."""
        name = next(each for each in names if (self.folder / "benchmarks" / f"{each}.py").is_file())
        return [str(self.python), "-m", f"benchmarks.{name}", *arguments]

    def output(self, command: list[str], settings: Mapping[str, str] | None = None) -> str:
        """Run a command in the revision's folder and return what it printed, whatever its exit code."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(settings), capture_output=True, text=True, check=False
        )
        if not done.stdout:
            raise RuntimeError(done.stderr[-2000:])
        return done.stdout

    def cost(self, arguments: tuple[str, ...], settings: Mapping[str, str]) -> Cost:
        """Run ``duewell ARGUMENTS`` in a new process and return what it took."""
        launcher = [str(self.python), "-I", "-S", str(HERE / "launcher.py"), *self.command(*arguments)]
        measured: dict[str, Any] = json.loads(self.output(launcher, settings))
        if measured["exit"]:
            message = f"{self.name}: duewell {' '.join(arguments)} ended with {measured['exit']}"
            raise RuntimeError(message)
        return Cost(measured["seconds"], measured["mib"])


def current_revision() -> Revision:
    """Return the working tree, run by the Python that runs this."""
    return Revision("now", ROOT, Path(sys.executable))


def check_out(name: str, folder: Path, python: Path | None) -> Revision:
    """Clone another revision into a folder and give it an environment from its own lock file, unless it is there.

    ``python`` names the Python of an environment that exists already.
    """
    clone = folder / name
    if not (clone / "pyproject.toml").is_file():
        shutil.rmtree(clone, ignore_errors=True)
        _call(["git", "clone", "--quiet", str(ROOT), str(clone)])
        _call(["git", "-C", str(clone), "checkout", "--quiet", name])
    if python is not None:
        return Revision(name, clone, python.absolute())
    own = clone / ".venv/bin/python"
    if not (clone / ".venv/.complete").is_file():
        _call([sys.executable, "-m", "venv", "--clear", str(clone / ".venv")])
        pip = [str(own), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
        _call([*pip, "setuptools", "wheel"])  # some of its packages come as source
        _call([*pip, "--require-hashes", "--no-build-isolation", "-r", str(clone / "requirements.lock")])
        (clone / ".venv/.complete").touch()
    return Revision(name, clone, own)


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)
