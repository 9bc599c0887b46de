"""``duewell bank``: import a statement, see what its money pays, decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connector.app_context import AppContext
from connector.bank.formats.bank_line import BYTES_MAX
from connector.db.engine import writing
from connector.db.tables import Connection
from connector.vocabulary import ConnectionHealth, ConnectionMode
from tests.connector.web.test_bank import CSV, SURE, add_invoice


def add_company(app: AppContext) -> int:
    with writing(app.engine) as session:
        row = Connection(
            short_name="small", provider="xero", external_id="x", name="Small Works Ltd", created_at=app.now(),
            health=ConnectionHealth.OK, mode=ConnectionMode.APPROVE, base_currency="EUR",
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id or 0


def test_a_statement_is_imported_listed_and_decided_about(
    app: AppContext, duewell: Callable[..., Any], tmp_path: Path
) -> None:
    class Holder:
        pass

    holder: Any = Holder()
    holder.app = app
    add_invoice(holder, add_company(app))
    file, odd, bad = (tmp_path / name for name in ("june.csv", "odd.csv", "bad.csv"))
    file.write_text(f"{SURE}2026-06-08;Tax office;refund;12.00;EUR\n")
    odd.write_text(f"{CSV}04/05/2026;A;b;1.00;EUR\n")
    bad.write_text(f"{CSV}2026-06-08;A;b;1x;EUR\n")

    result = duewell("bank", "import", str(file), "--connection", "small")
    assert result.exit_code == 0, result.err
    assert "2 entries, 2026-06-08 to 2026-06-09. 2 brought money in, 2 new." in result.out
    (match,) = json.loads(duewell("bank", "matches", "--json").out)
    assert (match["certainty"], match["amount"], match["invoice"]) == ("sure", "900.00", "INV-0042")
    (stranger,) = json.loads(duewell("bank", "unmatched", "--json").out)
    assert json.loads(duewell("bank", "confirm", str(match["id"]), "--json").out)["state"] == "confirmed"
    assert duewell("bank", "set-aside", str(stranger["id"])).exit_code == 0
    assert json.loads(duewell("bank", "unmatched", "--json").out) == []
    assert "rejected" in duewell("bank", "reject", str(match["id"])).out
    assert duewell("bank", "reject", str(match["id"])).exit_code == 1
    assert duewell("bank", "assign", "1", "INV-0042").exit_code == 0
    assert "june.csv" in duewell("bank", "files").out

    asked = duewell("bank", "import", str(odd), str(bad), "--connection", "small")
    assert asked.exit_code == 1
    assert "--date-order dmy or --date-order mdy" in asked.err
    assert "Line 2: '1x' is not an amount. Nothing of it was imported." in asked.err
    large = tmp_path / "large.csv"
    with large.open("wb") as sparse:
        sparse.truncate(BYTES_MAX + 1)
    too_large = duewell("bank", "import", str(large), str(tmp_path / "none.csv"), "--connection", "small")
    assert "The file is larger than 64 MB: split it. Nothing of it was imported." in too_large.err
    assert "The file cannot be read (No such file or directory)." in too_large.err
    again = duewell("bank", "import", str(odd), "--connection", "small", "--date-order", "mdy", "--json")
    assert json.loads(again.out)[0]["first_on"] == "2026-04-05"
