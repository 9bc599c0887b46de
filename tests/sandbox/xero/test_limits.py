"""Xero's limits in the simulation: per minute, per day, concurrent calls, and their headers."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import timedelta

from sandbox import Sandbox
from tests.sandbox.xero.conftest import Client


def test_sixty_first_call_of_a_minute_is_rejected_until_the_window_ends(sandbox: Sandbox, client: Client) -> None:
    left = [client.get("Organisation").headers["X-MinLimit-Remaining"] for _ in range(60)]
    assert left == [str(n) for n in range(59, -1, -1)]
    refused = client.get("Organisation")
    assert (refused.status_code, refused.headers["X-Rate-Limit-Problem"]) == (429, "minute")
    wait = int(refused.headers["Retry-After"])
    assert 0 < wait <= 60
    sandbox.clock.advance(timedelta(seconds=wait))
    assert client.get("Organisation").status_code == 200


def test_daily_limit_is_enforced_until_the_end_of_the_day(sandbox: Sandbox, client: Client) -> None:
    sandbox.xero.limits.minute = 0
    sandbox.xero.limits.day = 3
    assert [client.get("Organisation").headers["X-DayLimit-Remaining"] for _ in range(3)] == ["2", "1", "0"]
    refused = client.get("Organisation")
    assert (refused.status_code, refused.headers["X-Rate-Limit-Problem"]) == (429, "day")
    sandbox.clock.advance(timedelta(seconds=int(refused.headers["Retry-After"])))
    client.use(client.refresh(client.token["refresh_token"]).json())
    assert client.get("Organisation").status_code == 200


def test_each_organisation_has_its_own_minute_limit(unauthenticated_client: Client) -> None:
    unauthenticated_client.sign_in(sandbox_allow="all")
    for _ in range(61):
        last = unauthenticated_client.get("Organisation")
    assert last.status_code == 429
    unauthenticated_client.session.headers["xero-tenant-id"] = unauthenticated_client.connections()[1]["tenantId"]
    assert unauthenticated_client.get("Organisation").status_code == 200


def test_sixth_concurrent_call_is_rejected_without_retry_after(sandbox: Sandbox, client: Client) -> None:
    sandbox.xero.api.released.clear()
    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(client.get, "Organisation") for _ in range(6)]
        answered, _ = wait(calls, timeout=60, return_when=FIRST_COMPLETED)
        sandbox.xero.api.released.set()
        replies = [call.result() for call in calls]
    (refused,) = (call.result() for call in answered)
    assert (refused.status_code, refused.headers["X-Rate-Limit-Problem"]) == (429, "concurrent")
    assert "Retry-After" not in refused.headers
    assert sorted(reply.status_code for reply in replies) == [200] * 5 + [429]
