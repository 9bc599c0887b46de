"""The companies of the contract tests: our own ledgers on the sandbox, and the example found by its entry point."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.server import Sandbox
from tests.providers.contract.companies import NOON, Company, QuickBooksCompany, XeroCompany
from tests.providers.contract.csv_company import CsvCompany

EXAMPLE = Path(__file__).parents[2] / "examples" / "csv_ledger"


@pytest.fixture(scope="session")
def installed_example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the example as pip would: put its package and entry points on the path until the tests end."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    site = tmp_path_factory.mktemp("site")
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"{name} = {value}" for name, value in project["entry-points"]["duewell.ledgers"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[duewell.ledgers]", *lines, ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        patch.syspath_prepend(str(site))
        yield


@pytest.fixture(params=["xero", "quickbooks", "csv"])
def company(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    """A company without history; the marker ``needs`` names what a test requires of the ledger."""
    kind: Any = {"xero": XeroCompany, "quickbooks": QuickBooksCompany, "csv": CsvCompany}[request.param]
    marker = request.node.get_closest_marker("needs")
    missing = kind.unsupported & set(marker.args if marker else ())
    if missing:
        pytest.skip(f"{request.param} has no {', '.join(missing)}")
    sandbox = Sandbox(seed=5, now=NOON)
    if kind is CsvCompany:
        request.getfixturevalue("installed_example")
        monkeypatch.setenv("CSV_LEDGER_FOLDER", str(tmp_path))
        yield CsvCompany(sandbox, tmp_path)
        return
    with sandbox.serve() as url:
        yield kind(sandbox, url)
