"""docs/situations.md: every row is complete, and the test it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs/situations.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| situation", "|---"))
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_each_situation_has_a_source_an_answer_and_a_test_that_exists(row: list[str]) -> None:
    assert len(row) == 4, f"four cells, separated by ' | ': {row}"
    assert all(row), f"an empty cell: {row}"
    tests = TEST.findall(row[3])
    assert tests, f"no `tests/…py::test_name` in {row[3]}"
    for file, name in tests:
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {name}"


def test_no_situation_is_listed_twice() -> None:
    assert len({row[0] for row in ROWS}) == len(ROWS)
