"""Files that customers send: what is accepted, how they are kept and given out, and that they go with the customer."""

from __future__ import annotations

import json
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from connector.cli.main import cli
from connector.db.engine import reading, sqlite_file
from connector.db.tables import PortalFile
from connector.portal import files
from connector.portal.customer_response import ResponseRejected
from connector.privacy import erase, export
from connector.services.key_rotation import rotate
from connector.vocabulary import TaskCode
from tests.connector.portal.conftest import PortalScenario, draft_key, find_miller, find_row, list_tasks, visible_text

PDF = b"%PDF-1.7\nSECRET REMITTANCE\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40 + b"IEND\xaeB`\x82"
JPEG = b"\xff\xd8\xff\xe0" + b"x" * 40 + b"\xff\xd9"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PDF, "pdf"),
        (PNG, "png"),
        (JPEG, "jpg"),
        (b"\xef\xbb\xbf" + PDF, "pdf"),  # a byte order mark, as a web service adds it
        (b"\r\n\r\n" + PDF + b"\0" * 300_000, "pdf"),  # padded to whole sectors
        (b"\x1b%-12345X@PJL SET RESOLUTION=300\r\n" + PDF, "pdf"),  # a scanner's printer language
        (PDF + b"<!-- sent by a scanner -->" * 400, "pdf"),
        (JPEG + b"a telephone's own data" * 900, "jpg"),
    ],
)
def test_a_file_is_known_by_its_own_bytes(content: bytes, kind: str) -> None:
    assert files.find_type(content).suffix == kind


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<html><script>alert(1)</script>", "error_file_type"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "error_file_type"),
        (b"GIF89a%PDF-1.7 %%EOF", "error_file_type"),
        (b"MZ\x90\x00", "error_file_type"),
        (b"MZ\x90\x00" + PDF, "error_file_type"),  # a program that is a PDF as well
        (b"PK\x03\x04" + PDF, "error_file_type"),
        (PDF[:-7] + b"0" * 3000, "error_file_type"),  # cut off
        (PNG[:-8], "error_file_type"),
        (b"", "error_file_type"),
        (b"%PDF-1.7" + b"0" * files.FILE_BYTES_MAX + b"%%EOF", "error_file_size"),
    ],
)
def test_anything_else_is_refused_whatever_it_is_called(content: bytes, problem: str) -> None:
    with pytest.raises(ResponseRejected, match=problem):
        files.find_type(content)


def test_a_proof_of_payment_is_kept_encrypted_survives_new_keys_and_is_erased(
    scenario: PortalScenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.cli.customer_data.open_command_app", lambda: nullcontext(scenario.app))
    invoice = find_row(scenario, scenario.overdue).external_id
    assert "not a complete PDF" in visible_text(scenario.client.draft("file", b"<html>"))
    assert "Choose a file" in visible_text(scenario.client.draft("file"))
    too_large = scenario.client.draft("file", b"%PDF-" + b"0" * (6 * 2**20))
    assert (too_large.status_code, "larger than 5 MB" in visible_text(too_large)) == (413, True)
    draft = draft_key(scenario.client.draft("paid", PDF, invoice=invoice, on="2026-06-09"))
    with reading(scenario.app.engine) as session:
        miller = find_miller(scenario)
        assert files.list_files(session, scenario.connection, [miller.external_id]) == []  # nobody sees a draft's
    scenario.client.send(draft)
    scenario.client.submit("file", PNG, text="remittance")
    assert "A proof of payment is on the customer's page" in list_tasks(scenario, TaskCode.PAYMENT_REPORTED)[0].reason
    assert "“remittance”" in list_tasks(scenario, TaskCode.FILE_RECEIVED)[0].reason
    rotate(scenario.app)
    with reading(scenario.app.engine) as session:
        png, pdf = files.list_files(session, scenario.connection, [miller.external_id])
        assert files.open_file(session, scenario.app.keyring, pdf.id) == PDF
        assert files.open_file(session, scenario.app.keyring, png.id) == PNG
        assert (pdf.content_type, pdf.filename.endswith(".pdf"), "scan" in pdf.filename) == (
            "application/pdf",
            True,
            False,
        )
    database = sqlite_file(scenario.app.engine)
    assert database is not None
    assert [
        each for each in database.parent.glob(f"{database.name}*") if b"SECRET REMITTANCE" in each.read_bytes()
    ] == []
    exported = export.build_document(scenario.app, scenario.connection, miller.external_id, by="ann")
    assert [each["filename"] for each in exported["portal_file"]] == [pdf.filename, png.filename]  # type: ignore[attr-defined]
    assert len(exported["portal_response"]) == 2  # type: ignore[arg-type]
    export.write_file(tmp_path / "miller.zip", exported)
    with zipfile.ZipFile(tmp_path / "miller.zip") as opened:
        assert [opened.read(each) for each in opened.namelist() if each.startswith("files/")] == [PDF, PNG]
    listed = CliRunner().invoke(cli, ["customers", "reported", "Miller & Sons", "--json"])
    assert [(each["kind"], len(each["files"])) for each in json.loads(listed.stdout)] == [("file", 1), ("paid", 1)]
    assert "Payment reported" in CliRunner().invoke(cli, ["customers", "reported", "Miller & Sons"]).stdout
    erase.erase(scenario.app, scenario.connection, miller.external_id, by="ann")
    with reading(scenario.app.engine) as session:
        assert session.scalars(select(PortalFile)).all() == []
    assert scenario.client.get(f"/check/{draft}").status_code == 410


def test_an_empty_file_is_refused_and_a_change_of_the_answer_keeps_the_file(scenario: PortalScenario) -> None:
    invoice = find_row(scenario, scenario.overdue).external_id
    paid = {"invoice": invoice, "on": "2026-06-09", "amount": "600"}
    empty = scenario.client.post("/tell/paid", data=paid, files={"file": ("proof.pdf", b"")})
    assert (empty.status_code, "not a complete PDF" in visible_text(empty)) == (422, True)
    not_chosen = scenario.client.post("/tell/paid", data=paid, files={"file": ("", b"")})
    assert not_chosen.status_code == 303
    key = draft_key(scenario.client.draft("paid", PDF, **paid))
    changed = scenario.client.get(f"/tell/paid?draft={key}")
    assert ("is kept" in visible_text(changed), 'value="600.00"' in changed.text) == (True, True)
    scenario.client.submit("paid", draft=key, **paid)
    with reading(scenario.app.engine) as session:
        [kept] = files.list_files(session, scenario.connection, [find_miller(scenario).external_id])
        assert files.open_file(session, scenario.app.keyring, kept.id) == PDF
    assert "A proof of payment" in list_tasks(scenario, TaskCode.PAYMENT_REPORTED)[0].reason


def test_a_customer_cannot_fill_the_disk(scenario: PortalScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILES_MAX", 1)
    scenario.client.submit("file", PDF)
    assert "many files already" in visible_text(scenario.client.draft("file", PDF))
