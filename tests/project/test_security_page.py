"""docs/security.md is complete, and the tests that it names exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from benchmarks.doors import MAX_MS, list_doors, markdown_cells

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| (\d+\.\d+\.\d+)(?:–(\d+\.\d+\.\d+))? \| ([^|]+) \| (yes|part|you|–) \| ([^|]+) \|$", re.MULTILINE
)
# The number of requirements of levels 1 and 2 in each chapter of the standard
CHAPTERS = {
    1: 27, 2: 11, 3: 19, 4: 10, 5: 9, 6: 35, 7: 18, 8: 7, 9: 7, 10: 29, 11: 14, 12: 9, 13: 13, 14: 9, 15: 13, 16: 16,
    17: 7,
}  # fmt: skip
TABLE, OF_LEVEL_3 = PAGE.split("### Of level 3")


def ids(table: str) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for first, last, *_rest in ROW.findall(table):
        begin, end = (tuple(map(int, each.split("."))) for each in (first, last or first))
        assert begin[:2] == end[:2]
        found.extend((*begin[:2], number) for number in range(begin[2], end[2] + 1))
    return found


def test_every_requirement_of_both_levels_has_its_row_once_and_in_order() -> None:
    found = ids(TABLE)
    assert found == sorted(set(found))
    assert Counter(chapter for chapter, *_rest in found) == CHAPTERS
    assert len(re.findall(r"^\| \d", TABLE, re.MULTILINE)) == len(ROW.findall(TABLE))


def test_the_counts_equal_the_rows() -> None:
    counts: Counter[str] = Counter()
    for row in ROW.finditer(TABLE):
        counts[row[4]] += len(ids(row[0]))
    said = re.search(r"Of the (\d+) .*?, (\d+) are met, (\d+) in part, (\d+) are up to .*?, and (\d+) ask", PAGE)
    assert said is not None
    assert [int(each) for each in said.groups()] == [
        sum(CHAPTERS.values()), counts["yes"], counts["part"], counts["you"], counts["–"],
    ]  # fmt: skip


def test_every_named_test_exists_and_every_met_requirement_says_how() -> None:
    there = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *def (test_\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 80
    assert named - there == set()
    assert [row[0] for row in ROW.findall(PAGE) if not row[4].strip()] == []


def test_every_public_door_has_its_row_with_a_measured_cost_below_the_limit() -> None:
    rows = re.findall(r"^\| (.+ \| .+) \| (\d+\.\d) \|$", PAGE, re.MULTILINE)
    assert [cells for cells, _cost in rows] == [markdown_cells(door) for door in list_doors(0)]
    assert max(float(cost) for _cells, cost in rows) < MAX_MS
