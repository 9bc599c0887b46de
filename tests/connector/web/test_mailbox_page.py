"""The mailbox on the sender page: an owner connects and disconnects it, everybody else only sees it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from connector.connections import mailboxes
from connector.db.engine import writing
from connector.restore.restore_gap import require_approval
from sandbox import Sandbox
from sandbox.microsoft365 import ADDRESS

Site = Any
PAGE = "/settings/sender"


@pytest.fixture
def settings() -> Iterator[dict[str, Any]]:
    sandbox = Sandbox()
    with sandbox.serve() as url:
        own = sandbox.microsoft365.settings(url)
        yield {"mail_from": ADDRESS, **{name.lower(): value for name, value in own.items()}}


def consent(browser: Any) -> str:
    """Follow the button to Microsoft, allow access there, and return where the browser is sent."""
    browser.get(PAGE)
    browser.submit("/settings/mailbox/connect", {"system": "microsoft365"})
    found = re.search(r'class="button" href="([^"]+)"', browser.page.text)
    assert found
    reply = requests.get(f"{html.unescape(found[1])}&sandbox_allow=1", allow_redirects=False, timeout=10)
    return str(reply.headers["Location"])


def test_an_owner_connects_a_mailbox_sees_it_and_disconnects_it(site: Site) -> None:
    owner = site.sign_in("owner")
    assert "Connect Microsoft 365" in owner.get(PAGE).text
    back = consent(owner).removeprefix(site.base)
    assert f"The mailbox {ADDRESS} (Microsoft 365) is connected." in owner.get(back).text
    page = owner.get(PAGE).text
    assert ADDRESS in page
    assert "Not read yet" in page
    assert "Read in the mailbox" in page
    assert "SENDGRID_WEBHOOK_PUBLIC_KEY" not in page
    with writing(site.app.engine) as session:
        require_approval(session, None, site.app.now(), text="Restored.", backup_id="")
    owner = site.sign_in("owner", email="another@example.com")
    assert "Not read since the backup was restored" in owner.get(PAGE).text
    form = {"system": "microsoft365", "reason": "New provider", "confirmed": "yes"}
    for missing, words in (("reason", "Enter why this mailbox"), ("confirmed", "Confirm that you want to disconnect")):
        answer = owner.submit("/settings/mailbox/disconnect", {**form, missing: ""})
        assert (answer.status_code, words in answer.text.partition(f'id="{missing}-problem">')[2]) == (422, True)
    assert 'value="New provider"' in answer.text
    owner.submit("/settings/mailbox/disconnect", form)
    assert "Reason: New provider." in owner.page.text
    assert "myapps.microsoft.com" in owner.page.text
    assert mailboxes.find_mailbox(site.app) is None


def test_the_consent_of_one_browser_cannot_be_finished_in_another(site: Site) -> None:
    back = consent(site.sign_in("owner")).removeprefix(site.base)
    other = site.browser().get(back)
    assert other.status_code == 400
    assert "another browser" in other.text
    assert mailboxes.find_mailbox(site.app) is None


def test_a_bookkeeper_sees_the_mailbox_and_cannot_change_it(site: Site) -> None:
    owner = site.sign_in("owner")
    owner.get(consent(owner).removeprefix(site.base))
    bookkeeper = site.sign_in("bookkeeper")
    page = bookkeeper.get(PAGE).text
    assert ADDRESS in page
    assert "/settings/mailbox" not in page


def test_a_problem_is_shown_as_one(site: Site) -> None:
    page = site.sign_in("owner").get(PAGE)
    assert page.status_code == 200
    assert '<strong class="bad">Problem</strong>: No Microsoft 365 mailbox is connected' in page.text
