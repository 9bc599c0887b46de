"""The benchmark compares like with like: both loads store the same rows, to the byte."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks import baseline, first_load, pipeline


@pytest.mark.parametrize("vendor", first_load.VENDORS)
def test_a_first_load_stores_the_same_rows_as_the_baseline(vendor: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "baseline").mkdir()
    seen: list[int] = []
    with first_load._vendor_server(vendor, argparse.Namespace(invoices=1200, paid=0.5)) as port:
        app, ledger = pipeline.prepare(vendor, port, tmp_path / "pipeline")
        pipeline.load((app, ledger), seen.append)
        app.close()
        empty, _ledger = pipeline.prepare(vendor, port, tmp_path / "baseline")
        empty.close()
        baseline.load(vendor, port, tmp_path / "baseline" / "duewell.db", lambda _done: None)
    files = [tmp_path / way / "duewell.db" for way in ("pipeline", "baseline")]
    assert first_load._fingerprint(files[0]) == first_load._fingerprint(files[1])
    assert seen[-1] == 1200
