"""How long the web app's pages take with 100,000 invoices and a year of log, compared with 1,000 invoices.

``python -m benchmarks.pages`` fills two installations, serves each from this process, asks for every page in turn, and
prints the medians in milliseconds and their ratios. It exits with 1 where the log page takes more than twice as long
for the large company as for the small one.
"""

from __future__ import annotations

import argparse
import gc
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import requests
import uvicorn
from rich.console import Console

from benchmarks.full_year import NOW, DataSize, add_company, fill_company
from connector.app_context import AppContext, open_app
from connector.auth.sign_in import create_link
from connector.auth.users import add_user, find_user
from connector.db.engine import writing
from connector.settings import load_settings
from connector.web.app import make_app

MAX_RATIO = 2.0
HOURS_PER_YEAR = 365 * 24
LOG_PAGE = "/log"
PAGES = (
    LOG_PAGE,
    "/log?company=1",
    "/log?company=1&before=2000",
    "/log?customer=c7",
    "/log?invoice=INV-70",
    "/log?kind=emailed",
    "/runs",
    "/runs/9",
    "/",
    "/invoices",
    "/invoices?state=overdue&sort=-due&min=500",
    "/invoices?state=all&sort=customer",
    "/search?q=9999",
    "/search?q=532.00",
    "/customers",
    "/customers?search=0009",
    "/customers?sort=-overdue",
    "/companies/1/customers/c7",
    "/companies/1/invoices/i70",
    "/outbox",
    "/outbox?state=done",
    "/outbox?state=done&sort=-amount",
    "/tasks",
    "/exceptions",
    "/companies/1",
)
_console = Console(stderr=True)


class _FakeScheduler:
    def is_alive(self) -> bool:
        return True


def main() -> int:
    """Fill both installations, measure, and compare with the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--invoices", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=HOURS_PER_YEAR, help="runs in the log, with 12 entries each")
    parser.add_argument("--times", type=int, default=15, help="how often each page is requested")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = _open_filled_app(Path(folder) / "small", DataSize(invoices=1000, runs=88))
        large = _open_filled_app(Path(folder) / "large", DataSize(invoices=asked.invoices, runs=asked.runs))
        with _browser(small) as few, _browser(large) as many:
            found = {path: _median_times(path, few, many, asked.times) for path in PAGES}
    return _report(found)


def _open_filled_app(home: Path, size: DataSize) -> AppContext:
    home.mkdir(mode=0o700)
    own = {"duewell_home": home, "duewell_database_url": f"sqlite:///{home}/duewell.db"}
    app = open_app(load_settings(**own), now=lambda: NOW)
    with (
        _console.status(f"filling {size.invoices:,} invoices and {size.runs * size.log_lines_per_run:,} log entries"),
        writing(app.engine) as session,
    ):
        fill_company(session, size, add_company(session))
        add_user(session, "owner@example.com", "owner", companies=None, by="a benchmark", at=NOW)
    return app


@dataclass(frozen=True, slots=True)
class _Browser:
    """A user who is signed in."""

    base: str
    http: requests.Session

    def get(self, path: str) -> int:
        """Request a page and return the status code."""
        return self.http.get(self.base + path, timeout=120).status_code


@contextmanager
def _browser(app: AppContext) -> Iterator[_Browser]:
    with writing(app.engine) as session:
        link = create_link(session, find_user(session, "owner@example.com"), NOW, signs_in_directly=True)
    server = uvicorn.Server(uvicorn.Config(make_app(app, _FakeScheduler()), log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listening, requests.Session() as http:
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        browser = _Browser(f"http://localhost:{listening.getsockname()[1]}", http)
        assert browser.get(f"/welcome/{link}") == 200  # noqa: S101 - nothing else would be measured
        yield browser
        server.should_exit = True
        thread.join()
    app.close()


def _median_times(path: str, few: _Browser, many: _Browser, times: int) -> tuple[float, float]:
    """Request both in turn, so that other load slows both; the first request is not counted."""
    with _console.status(f"measuring {path}"):
        taken: tuple[list[float], list[float]] = ([], [])
        gc.disable()
        for count in range(times + 1):
            for browser, seconds in zip((few, many), taken, strict=True):
                began = time.process_time()
                code = browser.get(path)
                if count:
                    seconds.append(time.process_time() - began)
                assert code == 200, (path, code)  # noqa: S101 - an error page is fast
        gc.enable()
    return median(taken[0]) * 1000, median(taken[1]) * 1000


def _report(medians: dict[str, tuple[float, float]]) -> int:
    wide = max(map(len, medians))
    lines = [f"{'page':<{wide}}  {'few':>8}  {'many':>8}  ratio"]
    lines += [
        f"{path:<{wide}}  {few:6.1f} ms {many:7.1f} ms  {many / few:.2f}" for path, (few, many) in medians.items()
    ]
    ratio = medians[LOG_PAGE][1] / medians[LOG_PAGE][0]
    lines.append(f"the log page: {ratio:.2f} times as long for the large company   (wanted: at most {MAX_RATIO:.0f})")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if ratio <= MAX_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
