"""The benchmark of the public doors knows all of them."""

from __future__ import annotations

from typing import Any

from benchmarks.doors import list_doors, public_routes
from tests.connector.site import _clean_environment, settings, site  # noqa: F401


def test_every_public_route_has_a_row(site: Any) -> None:  # noqa: F811 - the fixture
    rows = {path for door in list_doors(0) for path in door.paths.split() if path.startswith("/")}
    assert rows == public_routes(site.app)
