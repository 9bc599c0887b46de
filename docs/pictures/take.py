"""Retakes the screenshots of the README and the docs: simulates the demo's days and opens its pages in a browser."""  # noqa: INP001 - a script, no package

from __future__ import annotations

import re
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from connector.app_context import AppContext
from connector.auth.sign_in import create_link
from connector.auth.users import add_user, find_user
from connector.cli import demo
from connector.connections.registry import set_mode
from connector.db.engine import writing
from connector.run import run_connection
from connector.web.app import make_app
from sandbox import Sandbox

HERE = Path(__file__).parent
PORT = 8712  # next to a duewell on the usual port
PHONE = ViewportSize(width=390, height=780)
DESK = ViewportSize(width=1100, height=720)
YOU = "you@demo.example"
EMAIL = re.compile(r'href="(/emails/\d+)"><strong>(?:Second reminder: |Invoices? )[^<]* overdue<')  # not a digest


class _RunningScheduler:
    def is_alive(self) -> bool:
        return True


def main() -> None:
    """Take all screenshots."""
    with ExitStack() as stack:
        today = demo.last_weekday_afternoon(datetime.now(UTC))
        sandbox = Sandbox(now=today - timedelta(days=demo.DEMO_DAYS))
        sandbox.xero.limits.minute = 0  # its clock stands while a run is under way
        services = stack.enter_context(sandbox.serve())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        app = stack.enter_context(demo.open_demo_app(sandbox, services, home, PORT))
        with writing(app.engine) as session:
            add_user(session, YOU, "owner", name="You", by="the demo", at=app.now())
        stack.enter_context(_served(app))
        driver = stack.enter_context(sync_playwright())
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        _live(app, sandbox, today, browser)
        _pages(app, browser)
        for scheme in ("light", "dark"):
            _email(browser, services, scheme)
        browser.close()


def _live(app: AppContext, sandbox: Sandbox, today: datetime, browser: Browser) -> None:
    """Connect two companies, show the first plan, and simulate the days; at the end one company awaits approval."""
    one, two = demo.connect_companies(app, _print)
    for connection in (one, two):
        run_connection(app, connection.id or 0)
    with _signed_in(app, browser) as page:
        _shoot(page, f"/companies/{one.id}/mode?mode=live", "first-plan")
    for connection in (one, two):
        set_mode(app, connection.id or 0, "live", by="the demo")
    demo.simulate_days(app, sandbox, [one, two], today - timedelta(days=1), _print)
    set_mode(app, two.id or 0, "approve", by="the demo")
    demo.simulate_days(app, sandbox, [one, two], today, _print)


def _pages(app: AppContext, browser: Browser) -> None:
    """Take the screenshots of the web app."""
    with _signed_in(app, browser) as page:
        for path, name in (
            ("/", "today"),
            ("/log?company=1", "log"),
            ("/policy", "policy"),
            ("/reports?company=1", "reports"),
        ):
            _shoot(page, path, name)
        page.goto(f"{_base()}/outbox?state=awaiting_approval&company=all")
        page.get_by_role("link", name=re.compile("(first reminder|second notice)", re.IGNORECASE)).first.click()
        page.frame_locator("iframe").get_by_text("Kind regards").wait_for()
        page.get_by_role("heading", name="Email preview").evaluate("heading => heading.scrollIntoView()")
        page.screenshot(path=HERE / "outbox-email.png")
        page.goto(f"{_base()}/customers")
        page.locator("main a[href*='/customers/']").first.click()
        page.screenshot(path=HERE / "customer.png")
        page.get_by_role("button", name="Create link").click()
        link = page.locator("section[aria-labelledby=portal] code").first.inner_text()
        portal = browser.new_page(viewport=PHONE)
        portal.goto(link)
        portal.screenshot(path=HERE / "portal.png")
        portal.close()
        page.set_viewport_size(PHONE)
        _shoot(page, "/", "today-phone")


def _email(browser: Browser, services: str, scheme: str) -> None:
    """Show one email, as on a phone."""
    page = browser.new_page(viewport=PHONE, color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"{services}/emails")
    found = EMAIL.search(page.content())
    if found is None:
        message = "no email to a customer about an overdue invoice is on the first page of the demo's emails"
        raise SystemExit(message)
    page.goto(services + found[1])
    html = page.locator("iframe").first.get_attribute("srcdoc")
    page.set_content(html or "")
    page.screenshot(path=HERE / f"email-{scheme}.png")
    page.close()


@contextmanager
def _signed_in(app: AppContext, browser: Browser) -> Iterator[Page]:
    """Sign in as the owner; sessions end in the simulated days, so each visit has a sign-in link of its own."""
    with writing(app.engine) as session:
        link = create_link(session, find_user(session, YOU), app.now(), signs_in_directly=True)
    page = browser.new_page(viewport=DESK)
    page.goto(f"{_base()}/welcome/{link}")
    yield page
    page.close()


@contextmanager
def _served(app: AppContext) -> Iterator[None]:
    """Serve the web app without a scheduler: this script advances the days."""
    server = uvicorn.Server(uvicorn.Config(make_app(app, _RunningScheduler()), log_level="warning"))
    with socket.create_server(("127.0.0.1", PORT)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield
        server.should_exit = True
        thread.join()


def _shoot(page: Page, path: str, name: str) -> None:
    page.goto(_base() + path)
    page.screenshot(path=HERE / f"{name}.png")


def _base() -> str:
    return f"http://localhost:{PORT}"


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
