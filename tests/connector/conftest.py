"""Fixtures of the connector's tests: simulated services with a year of history, and an installation."""

from __future__ import annotations

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
from tests.connector.scenario import late_customer, noon, scenario, scenario_at  # noqa: F401
