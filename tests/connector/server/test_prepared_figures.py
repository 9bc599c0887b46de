"""The first look at Today after a sync waits for no forecast."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connector.db.engine import writing
from connector.db.tables import Connection
from connector.reports import cash_forecast
from connector.server.prepared_figures import prepare_figures
from connector.services import receivables_totals
from tests.connector.site import _clean_environment, settings, site  # noqa: F401


def test_the_figures_of_today_are_there_before_anybody_looks(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    browser = site.sign_in("viewer")
    companies = [site.add_company(name) for name in ("North Ltd", "South Ltd")]
    for company in companies:
        site.add_overdue_invoice(company)
    computed: list[int] = []
    compute = cash_forecast.expected_cash

    def count(session: Any, scope: Any) -> Any:
        computed.append(len(scope.companies))
        return compute(session, scope)

    monkeypatch.setattr(receivables_totals, "expected_cash", count)
    prepare_figures(site.app)
    assert computed == [1, 1, 2]
    for path in ("/?company=all", *(f"/?company={company}" for company in companies)):
        assert "1,200.00" in browser.get(path).text.replace("2,400.00", "1,200.00")
    prepare_figures(site.app)
    assert computed == [1, 1, 2], "nothing changed"
    with writing(site.app.engine) as session:
        row = session.get_one(Connection, companies[0])
        row.mirror_version, row.lease_until_at = row.mirror_version + 1, site.clock.at + timedelta(minutes=1)
    prepare_figures(site.app)
    assert computed == [1, 1, 2], "it is being read"
    site.clock.advance(minutes=2)
    prepare_figures(site.app)
    assert computed == [1, 1, 2, 1, 2]
    monkeypatch.setattr("connector.server.prepared_figures._SECONDS_MAX", -1.0)
    site.clock.advance(days=1)
    prepare_figures(site.app)
    assert computed == [1, 1, 2, 1, 2], "the others come with the next turn"
