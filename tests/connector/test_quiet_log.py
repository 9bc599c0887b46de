"""A log that strangers cannot fill."""

from __future__ import annotations

import logging

import pytest

from connector.quiet_log import INTERVAL_S, QuietLog


def test_what_repeats_is_logged_once_a_minute_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    caplog.set_level(logging.INFO)
    quiet = QuietLog(logging.getLogger("a test of the quiet log"), lambda: now[0])
    for number in range(40):
        quiet.note("closed connections", "tiny pieces", f"203.0.113.{number}")
    quiet.note("closed connections", "too many", "203.0.113.9")
    quiet.logger.warning("Invalid HTTP request received.")
    quiet.logger.warning("Invalid HTTP request received.")
    assert len(caplog.messages) == 3
    now[0] += INTERVAL_S
    quiet.note("closed connections", "tiny pieces", "198.51.100.7")
    assert caplog.messages[-1].startswith("closed connections: tiny pieces, last from 198.51.100.7 (and 39 more times")
