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
from tests.connector.scenario import (  # noqa: F401
    _kept_scenarios,
    late_customer,
    noon,
    resume_after,
    scenario,
    scenario_at,
)
