"""The benchmark compares like with like: both ways leave the same rows, to the byte."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks import first_load, floor, ours


@pytest.mark.parametrize("vendor", first_load.VENDORS)
def test_a_first_load_leaves_the_rows_that_the_floor_leaves(vendor: str, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "floor").mkdir()
    seen: list[int] = []
    with first_load._serving(vendor, argparse.Namespace(invoices=1200, paid=0.5)) as port:
        installation, ledger = ours.prepare(vendor, port, tmp_path / "ours")
        ours.load((installation, ledger), seen.append)
        installation.close()
        empty, _ledger = ours.prepare(vendor, port, tmp_path / "floor")
        empty.close()
        floor.load(vendor, port, tmp_path / "floor" / "duewell.db", lambda _done: None)
    files = [tmp_path / way / "duewell.db" for way in ("ours", "floor")]
    assert first_load._fingerprint(files[0]) == first_load._fingerprint(files[1])
    assert seen[-1] == 1200
