"""Takes the pictures of the README anew: runs the demo, looks at it with a browser, writes PNGs beside this file."""  # noqa: INP001 - a script, no package

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize, sync_playwright

HERE = Path(__file__).parent
PORT = 8712  # beside a duewell that serves on the usual one
PHONE = ViewportSize(width=390, height=780)
DESK = ViewportSize(width=1200, height=780)
MAIL = re.compile(r'href="(/mails/\d+)"><strong>[^<]*(?:past due|still open)[^<]*<')


@contextmanager
def _demo() -> Iterator[tuple[str, str]]:
    """Run the demo; give the address of its mails, and the link that signs one in to its web app."""
    command = [sys.executable, "-m", "connector.cli", "demo", "--no-browser", "--port", str(PORT)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)  # noqa: S603
    try:
        yield _addresses(process)
    finally:
        process.terminate()
        process.communicate()


def _addresses(process: subprocess.Popen[str]) -> tuple[str, str]:
    mails = ""
    for line in process.stderr or ():
        sys.stderr.write(line)
        found = re.search(r"http://\S+", line)
        if found and found[0].endswith("/mails"):
            mails = found[0]
        if found and f":{PORT}/" in found[0]:
            return mails, found[0].rstrip(";")
    message = "the demo ended before its web app was there"
    raise SystemExit(message)


def _mail(browser: Browser, mails: str, scheme: str, name: str) -> None:
    """Show a mail alone, as a phone does."""
    page = browser.new_page(viewport=PHONE, color_scheme="dark" if scheme == "dark" else "light")
    page.goto(mails)
    found = MAIL.search(page.content())
    if found is None:
        message = "there is no mail about an overdue invoice on the first page of the demo's mails"
        raise SystemExit(message)
    page.goto(mails.removesuffix("/mails") + found[1])
    html = page.locator("iframe").first.get_attribute("srcdoc")
    page.set_content(html or "")
    page.screenshot(path=HERE / name)
    page.close()


def main() -> None:
    """Take all pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with _demo() as (mails, link), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium)
        for scheme in ("light", "dark"):
            _mail(browser, mails, scheme, f"mail-{scheme}.png")
        page = browser.new_page(viewport=DESK)
        page.goto(link)
        page.screenshot(path=HERE / "today.png")
        page.set_viewport_size(PHONE)
        page.screenshot(path=HERE / "today-phone.png")
        browser.close()


if __name__ == "__main__":
    main()
