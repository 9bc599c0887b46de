"""Takes the pictures of the README and the docs anew: lives through the demo's days, and looks at it with a browser."""  # noqa: INP001 - a script, no package

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

from connector.app_context import Installation
from connector.auth.sign_in import make_link
from connector.auth.users import add_user, find_user
from connector.cli import demo
from connector.connections.registry import set_mode
from connector.db.engine import writing
from connector.run import run_connection
from connector.web.app import make_app
from sandbox import Sandbox

HERE = Path(__file__).parent
PORT = 8712  # beside a duewell that serves on the usual one
PHONE = ViewportSize(width=390, height=780)
DESK = ViewportSize(width=1100, height=720)
YOU = "you@demo.example"
MAIL = re.compile(r'href="(/emails/\d+)"><strong>[^<]*(?:past due|still open)[^<]*<')


class _Heart:
    def alive(self) -> bool:
        return True


def main() -> None:
    """Take all pictures."""
    with ExitStack() as stack:
        today = demo.last_working_moment(datetime.now(UTC))
        sandbox = Sandbox(now=today - timedelta(days=demo.LIVE_FOR_DAYS))
        sandbox.xero.limits.minute = 0  # its clock stands while a run is under way
        vendors = stack.enter_context(sandbox.serve())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        app = stack.enter_context(demo.demo_installation(sandbox, vendors, home, PORT))
        with writing(app.engine) as session:
            add_user(session, YOU, "owner", name="You", by="the demo", at=app.now())
        stack.enter_context(_served(app))
        driver = stack.enter_context(sync_playwright())
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        _live(app, sandbox, today, browser)
        _pages(app, browser)
        for scheme in ("light", "dark"):
            _mail(browser, vendors, scheme)
        browser.close()


def _live(app: Installation, sandbox: Sandbox, today: datetime, browser: Browser) -> None:
    """Connect two companies, look at the first plan, and live through the days; of the second the last mails wait."""
    one, two = demo.connect_both(app, _tell)
    for connection in (one, two):
        run_connection(app, connection.id or 0)
    with _signed_in(app, browser) as page:
        _shoot(page, f"/companies/{one.id}/mode?to=live", "first-plan")
    for connection in (one, two):
        set_mode(app, connection.id or 0, "live", by="the demo")
    demo.live_until(app, sandbox, [one, two], today - timedelta(days=1), _tell)
    set_mode(app, two.id or 0, "approve", by="the demo")
    demo.live_until(app, sandbox, [one, two], today, _tell)


def _pages(app: Installation, browser: Browser) -> None:
    """Take the pictures of the web app."""
    with _signed_in(app, browser) as page:
        for path, name in (
            ("/", "today"),
            ("/log?company=1", "log"),
            ("/policy", "policy"),
            ("/reports?company=1", "reports"),
        ):
            _shoot(page, path, name)
        page.goto(f"{_base()}/outbox?state=waiting")
        page.get_by_role("link", name=re.compile("mail: (past due|second notice)")).first.click()
        page.frame_locator("iframe").get_by_text("Kind regards").wait_for()
        page.get_by_role("heading", name="The mail, as it would").evaluate("heading => heading.scrollIntoView()")
        page.screenshot(path=HERE / "outbox-mail.png")
        page.goto(f"{_base()}/customers")
        page.locator("main a[href*='/customers/']").first.click()
        page.screenshot(path=HERE / "customer.png")
        page.get_by_role("button", name="Make a link").click()
        link = page.locator("section[aria-labelledby=page] code").first.inner_text()
        own = browser.new_page(viewport=PHONE)
        own.goto(link)
        own.screenshot(path=HERE / "own-page.png")
        own.close()
        page.set_viewport_size(PHONE)
        _shoot(page, "/", "today-phone")


def _mail(browser: Browser, vendors: str, scheme: str) -> None:
    """Show a mail alone, as a phone does."""
    page = browser.new_page(viewport=PHONE, color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"{vendors}/emails")
    found = MAIL.search(page.content())
    if found is None:
        message = "there is no mail about an overdue invoice on the first page of the demo's mails"
        raise SystemExit(message)
    page.goto(vendors + found[1])
    html = page.locator("iframe").first.get_attribute("srcdoc")
    page.set_content(html or "")
    page.screenshot(path=HERE / f"mail-{scheme}.png")
    page.close()


@contextmanager
def _signed_in(app: Installation, browser: Browser) -> Iterator[Page]:
    """Look with the eyes of the owner; days later nobody is signed in any more, so each look has a link of its own."""
    with writing(app.engine) as session:
        link = make_link(session, find_user(session, YOU), app.now(), enters=True)
    page = browser.new_page(viewport=DESK)
    page.goto(f"{_base()}/welcome/{link}")
    yield page
    page.close()


@contextmanager
def _served(app: Installation) -> Iterator[None]:
    """Serve the web app, without a scheduler: the days pass by our hand."""
    server = uvicorn.Server(uvicorn.Config(make_app(app, _Heart()), log_level="warning"))
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


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
