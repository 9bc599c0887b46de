"""Runs inside the environment of either revision: syncs on request and reports what each cost its thread.

One line of JSON on stdin is one request: ``{"connection": 1, "at": "2026-06-10T12:00:00+00:00"}``; the answer is a line
with the seconds of processor time, the outcome, and the statements that the database was sent. It is started by its
path, so it may import nothing of the benchmarks, and it knows both names that the product had for what it opens.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

_OPENERS = (("connector.app_context", "open_app"), ("connector.installation", "open_installation"))


def main() -> None:
    """Answer one request after the other until stdin ends."""
    current = datetime.now().astimezone()
    app: Any = _opener()(importlib.import_module("connector.settings").load_settings(), now=lambda: current)
    run_connection = importlib.import_module("connector.run").run_connection
    statements = _count_statements(app)
    for line in sys.stdin:
        request = json.loads(line)
        current = datetime.fromisoformat(request["at"])
        gc.collect()  # so that no sync pays for the one before
        before = len(statements)
        began = time.thread_time()
        result = run_connection(app, request["connection"])
        seconds = time.thread_time() - began
        answer = {"seconds": seconds, "outcome": str(result.outcome), "statements": len(statements) - before}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    app.close()


def _opener() -> Any:
    for module, name in _OPENERS:
        if Path(module.replace(".", "/") + ".py").is_file():  # it is started in the revision's folder
            return getattr(importlib.import_module(module), name)
    message = "this revision opens the product by neither known name"
    raise SystemExit(message)


def _count_statements(app: Any) -> list[None]:
    event = importlib.import_module("sqlalchemy").event
    statements: list[None] = []
    event.listen(app.engine, "before_cursor_execute", lambda *_: statements.append(None))
    return statements


if __name__ == "__main__":
    main()
