"""The names of the custom arguments by which an email's events are matched to it."""

from __future__ import annotations

from typing import Final

KEY_ARG: Final = "duewell_key"
ATTEMPT_ARG: Final = "duewell_attempt"  # not "attempt", which is a key of SendGrid's events, beside the custom args
