"""The houses of the contract: our own ledgers against the sandbox, and the example that is found by its entry point."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.server import Sandbox
from tests.providers.contract.csv_ledger_fixture import CsvFixture
from tests.providers.contract.ledger_fixtures import NOON, LedgerFixture, QuickBooksFixture, XeroFixture

EXAMPLE = Path(__file__).parents[2] / "examples" / "csv_ledger"


@pytest.fixture(scope="session")
def installed_example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the example as pip would: its package and its entry points on the path, until the tests end."""
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
def ledger_fixture(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LedgerFixture]:
    """A company without history; a test may say what it needs by the marker ``needs``."""
    kind: Any = {"xero": XeroFixture, "quickbooks": QuickBooksFixture, "csv": CsvFixture}[request.param]
    marker = request.node.get_closest_marker("needs")
    lacking = kind.cannot & set(marker.args if marker else ())
    if lacking:
        pytest.skip(f"{request.param} has no {', '.join(lacking)}")
    sandbox = Sandbox(seed=5, now=NOON)
    if kind is CsvFixture:
        request.getfixturevalue("installed_example")
        monkeypatch.setenv("CSV_LEDGER_FOLDER", str(tmp_path))
        yield CsvFixture(sandbox, tmp_path)
        return
    with sandbox.serve() as url:
        yield kind(sandbox, url)
