"""A file is imported whole or not at all: by the command, from the watched folder, and where the process dies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connector.bank import importing, watched_folder
from connector.bank.formats.bank_line import StatementError
from connector.bank.formats.readers import read_statement
from connector.db.engine import reading
from connector.db.tables import BankFile
from tests.connector.bank.test_known_lines import CSV, company, line, load, stored  # noqa: F401

Site = Any
GOOD = CSV + line(9, "Ashdown Ltd", "INV-0042", "900.00")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"duewell_bank_folder": tmp_path / "bank"}


@pytest.mark.parametrize("step", ["_keep_mapping", "_result", "_log"])
def test_an_import_that_dies_before_its_commit_leaves_nothing_and_can_be_repeated(
    site: Site,
    company: int,  # noqa: F811
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(*_arguments: Any, **_more: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing, step, die)
        with pytest.raises(KeyboardInterrupt):
            load(site, company, GOOD)
    assert stored(site) == []
    assert load(site, company, GOOD).new == 1
    assert len(stored(site)) == 1


def test_files_in_the_watched_folder_are_imported_once_and_broken_ones_put_aside(
    site: Site,
    company: int,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "bank" / "first-ltd"
    folder.mkdir(parents=True)
    for name, text in (("june.csv", GOOD), ("broken.csv", GOOD.replace("900.00", "9oo")), ("new.csv", GOOD)):
        (folder / name).write_text(text)
        long_ago = site.clock.at.timestamp() - 60
        os.utime(folder / name, (long_ago, long_ago))
    os.utime(folder / "new.csv", (site.clock.at.timestamp(),) * 2)  # still being written
    problems = watched_folder.import_files(site.app, company, "first-ltd")
    assert [each.name for each in sorted(folder.rglob("*.csv"))] == ["broken.csv", "june.csv", "new.csv"]
    assert (folder / "imported" / "june.csv").exists()
    assert (folder / "failed" / "broken.csv").exists()
    (problem,) = problems
    assert "broken.csv could not be imported: Line 2: '9oo' is not an amount. It is in the folder failed." in problem
    assert len(stored(site)) == 1


def test_a_file_that_is_still_written_stays_in_the_watched_folder(
    site: Site,
    company: int,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "bank" / "first-ltd"
    folder.mkdir(parents=True)
    long_ago = site.clock.at.timestamp() - 60
    for name in ("june.csv", "july.csv.part", "~august.csv"):
        (folder / name).write_text(GOOD)
        os.utime(folder / name, (long_ago, long_ago))

    def write_on(*arguments: Any, **more: Any) -> Any:
        with (folder / "june.csv").open("a") as file:
            file.write(line(10, "Ashdown Ltd", "thanks", "12.00"))
        return read_statement(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(importing, "read_statement", write_on)
        assert watched_folder.import_files(site.app, company, "first-ltd") == []
    assert {each.name for each in folder.iterdir()} == {"june.csv", "july.csv.part", "~august.csv"}
    os.utime(folder / "june.csv", (long_ago, long_ago))
    assert watched_folder.import_files(site.app, company, "first-ltd") == []
    assert [str(row.amount_e4) for row in stored(site)] == ["9000000", "120000"]
    assert (folder / "imported" / "june.csv").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty"),
        (b" \r\n\x00", None),
        (b"PK\x03\x04rest", "ZIP archive"),
        (b"%PDF-1.7", "PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, None),
        (b"<html><body>Sign in to your bank</body></html>", None),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, None),
    ],
)
def test_what_is_no_statement_is_refused_with_a_reason(
    site: Site,
    company: int,  # noqa: F811
    content: bytes,
    reason: str | None,
) -> None:
    with pytest.raises(StatementError, match=reason):
        load(site, company, content)
    assert stored(site) == []


def test_a_date_that_no_booking_has_is_refused(site: Site, company: int) -> None:  # noqa: F811
    with pytest.raises(StatementError, match="Line 2: 2126-06-09 cannot be the date of a booking"):
        load(site, company, GOOD.replace("2026", "2126"))
    with reading(site.app.engine) as session:
        assert session.scalars(select(BankFile)).all() == []


def test_a_file_that_brings_down_its_reader_is_put_aside_and_the_others_are_imported(
    site: Site,
    company: int,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "bank" / "first-ltd"
    folder.mkdir(parents=True)
    long_ago = site.clock.at.timestamp() - 60
    for name in ("a-odd.csv", "b-good.csv"):
        (folder / name).write_text(GOOD if "good" in name else GOOD.replace("900.00", "7.00"))
        os.utime(folder / name, (long_ago, long_ago))

    def read(content: bytes, **more: Any) -> Any:
        if b"7.00" in content:
            raise RecursionError
        return read_statement(content, **more)

    monkeypatch.setattr(importing, "read_statement", read)
    (problem,) = watched_folder.import_files(site.app, company, "first-ltd")
    assert "a-odd.csv could not be imported: Internal error in duewell (RecursionError)" in problem
    assert (folder / "failed" / "a-odd.csv").exists()
    assert len(stored(site)) == 1
    assert watched_folder.import_files(site.app, company, "first-ltd") == []


def test_an_import_that_is_killed_around_any_commit_is_finished_by_the_next_sync(
    site: Site,
    company: int,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Nothing is stored twice and nothing is lost, also where the file was not moved any more."""
    folder = tmp_path / "bank" / "first-ltd"
    folder.mkdir(parents=True)
    long_ago = site.clock.at.timestamp() - 60
    dialect: Any = site.app.engine.dialect
    do_commit = dialect.do_commit
    killed = 0
    for kill_at in range(1, 20):
        for is_done in (False, True):
            commits = 0

            def commit(connection: Any, kill_at: int = kill_at, is_done: bool = is_done) -> None:
                nonlocal commits
                commits += 1
                if commits == kill_at and not is_done:
                    raise KeyboardInterrupt
                do_commit(connection)
                if commits == kill_at:
                    raise KeyboardInterrupt

            file = folder / f"{kill_at}-{is_done}.csv"
            file.write_text(CSV + line(9, f"Payer {kill_at}", "INV-0042", f"{kill_at}.{int(is_done) + 10}"))
            os.utime(file, (long_ago, long_ago))
            dialect.do_commit = commit
            try:
                watched_folder.import_files(site.app, company, "first-ltd")
            except KeyboardInterrupt:
                killed += 1
            finally:
                dialect.do_commit = do_commit
            assert watched_folder.import_files(site.app, company, "first-ltd") == []
            assert not file.exists()
        if commits < kill_at:
            break
    amounts = [row.amount_e4 for row in stored(site)]
    assert killed >= 2
    assert len(amounts) == len(set(amounts)) == 2 * kill_at
    with reading(site.app.engine) as session:
        assert len(session.scalars(select(BankFile)).all()) == 2 * kill_at
