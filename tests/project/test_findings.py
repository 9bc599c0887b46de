"""The findings about libraries: pinned, listed, and said in the README of the folder that the library concerns."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "findings").glob("*.sh"))
READMES = "\n".join(
    file.read_text() for folder in ("connector", "policies", "providers") for file in (ROOT / folder).rglob("README.md")
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_finding_is_pinned_listed_and_said_where_it_matters(script: Path) -> None:
    text = script.read_text()
    assert re.search(r"[\w.-]+==\d", text)
    assert not re.search(r"duewell|connector|providers\b|policies\b", text.partition("set -euo")[2])
    assert f"| `{script.stem}` |" in (ROOT / "findings" / "README.md").read_text()
    assert script.stem in READMES
