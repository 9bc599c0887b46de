"""The comparison with another revision: how it is run, and how its figures are shown."""

from __future__ import annotations

from pathlib import Path

from benchmarks.against import _format
from benchmarks.revisions.figures import Figure
from benchmarks.revisions.revision import Revision


def test_a_revision_is_run_by_the_entry_point_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project.scripts]\nduewell = "connector.commands:begin"\n')
    command = Revision("old", tmp_path, Path("/python")).command("run", "--json")
    assert command == ["/python", "-c", "import sys; from connector.commands import begin; begin()", "run", "--json"]


def test_a_benchmark_is_found_by_its_earlier_name(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "deciding.py").touch()
    command = Revision("old", tmp_path, Path("/python")).module(("decisions", "deciding"), "--times", "1")
    assert command[1:] == ["-m", "benchmarks.deciding", "--times", "1"]


def test_a_figure_is_a_row_with_both_values_and_their_ratio() -> None:
    assert (
        _format(Figure("quiet sync", "s", 0.035, 0.014, "0.5"))
        == "| quiet sync | 0.035 s | 0.014 s | 0.40 × | ≤ 0.5 × |"
    )
    assert _format(Figure("serve", "MiB", 220.4, 150.1)) == "| serve | 220 MiB | 150 MiB | 0.68 × |  |"
