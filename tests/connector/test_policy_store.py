"""The newest policy version is active, a connection's own before the general one, and all are kept."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from connector import policy_store
from connector.db.engine import writing
from connector.db.tables import Connection
from policies.policy import PolicyError, ReminderPolicy

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FEES_ON = "[late_fees]\nenabled = true\n"
FEES_OFF = "[late_fees]\nenabled = false\n"


def test_the_newest_version_is_active_and_a_connections_own_comes_first(engine: Engine) -> None:
    with writing(engine) as session:
        session.add(Connection(short_name="acme", provider="xero", external_id="1", name="Acme", created_at=NOON))
        session.flush()
        assert policy_store.get_policy(session, 1) == (ReminderPolicy.default(), None)
        general = policy_store.set_policy(session, FEES_ON, by="ann", at=NOON)
        assert policy_store.get_policy(session, 1) == (ReminderPolicy.from_toml(FEES_ON), general)
        own = policy_store.set_policy(session, FEES_OFF, by="ann", at=NOON, connection_id=1)
        newer = policy_store.set_policy(session, FEES_ON, by="ann", at=NOON)
        assert policy_store.get_policy(session, 1)[1] == own
        assert policy_store.get_policy(session, None)[1] == newer
        policy_store.set_policy(session, "", by="ann", at=NOON, connection_id=1)
        assert policy_store.get_policy(session, 1)[1] == newer
        assert policy_store.get_document(session, own) == FEES_OFF


def test_an_invalid_document_is_not_activated(engine: Engine) -> None:
    with writing(engine) as session:
        with pytest.raises(PolicyError):
            policy_store.set_policy(session, "[late_fees]\nenabled = 7\n", by="ann", at=NOON)
        assert policy_store.get_policy(session, None)[1] is None
