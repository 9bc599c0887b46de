"""Stores how far a run has come, at most once a second, so that pages of any process can show it."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from connector.app_context import AppContext
from connector.db.engine import writing
from connector.db.tables import SyncRun

_PAUSE_S = 1.0
# What is shown of a step, by how its line of progress begins; customers are not named, and remarks are no steps
_STEPS = {
    "reading": "",
    "deciding": "deciding about each customer",
    "comparing": "",
    "rechecking": "",
    "adding": "",
    "waiting": "",
    "emailing": "sending emails",
}


class ProgressStore:
    """The progress of one run. What cannot be stored is not shown, and stops nothing."""

    def __init__(
        self, app: AppContext, connection_id: int, run_id: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin; nothing is stored in the first second, in which most runs end."""
        self._app, self._connection_id, self._run_id = app, connection_id, run_id
        self._clock = clock
        self._began_at_s = self._stored_at_s = clock()
        self._step = ""

    def step(self, text: str) -> None:
        """Store the next step."""
        begins = text.partition(" ")[0]
        step = _STEPS.get(begins) or text
        if begins not in _STEPS or step == self._step:
            return
        self._step = step
        if self._clock() - self._began_at_s >= _PAUSE_S:  # however soon after a count: a step may take long
            self._store(progress=self._step, records_read=0, records_expected=None)

    def count(self, records: int, expected: int | None) -> None:
        """Store how many records were read, and of how many."""
        if self._clock() - self._stored_at_s >= _PAUSE_S:
            self._store(progress=self._step, records_read=records, records_expected=expected)

    def _store(self, **values: object) -> None:
        self._stored_at_s = self._clock()
        try:
            with writing(self._app.engine, durable=False, company_id=self._connection_id) as session:
                session.execute(
                    update(SyncRun)
                    .where(col(SyncRun.id) == self._run_id, col(SyncRun.outcome).is_(None))
                    .values(**values)
                )
        except SQLAlchemyError:
            return
