"""Fixtures of the connector's tests: simulated services with a year of history, and an installation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from connector.auth import passwords
from tests.connector.installed import (  # noqa: F401
    _clean_environment,
    answer_consent,
    app,
    duewell,
    either_app,
    environment,
    free_port,
    give_consent,
    services,
)
from tests.connector.scenario import (  # noqa: F401
    _kept_scenarios,
    late_customer,
    noon,
    reminded_customer,
    resume_after,
    scenario,
    scenario_at,
)


@pytest.fixture(scope="session", autouse=True)
def _cheap_password_hashes() -> Iterator[None]:
    """Hash passwords at the lowest cost: the real one, a fifth of a second each, has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield
