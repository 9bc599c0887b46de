"""What pages say after a change."""

from __future__ import annotations

from connector.web.app import ROUTES
from connector.web.page_request import NEXT_STEPS, NOTICES


def test_every_next_step_follows_something_that_was_done_and_leads_to_a_page() -> None:
    pages = {route.path for route in ROUTES if route.method == "GET"}
    assert NEXT_STEPS.keys() <= NOTICES.keys()
    assert {address.partition("?")[0] for _text, address in NEXT_STEPS.values()} <= pages
