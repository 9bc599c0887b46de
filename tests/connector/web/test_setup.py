"""The set-up guide in the browser."""

from __future__ import annotations

from typing import Any

import pytest

Site = Any


@pytest.fixture
def settings(tmp_path: Any) -> dict[str, Any]:
    return {"mail_from": "billing@first.example", "eml_folder": str(tmp_path / "sent"), "xero_client_id": "abc"}


def test_it_stands_on_the_first_page_until_a_company_may_send(site: Site) -> None:
    owner = site.sign_in("owner")
    page = owner.get("/").text
    assert "Set-up: 1 of 7 done" in page
    assert 'href="/setup#connect">Continue: Connect your accounting system' in page
    site.add_company("North Ltd", mode="observe", first_pull_done_at=site.clock.at)
    assert "Set-up: 3 of 7 done" in owner.get("/").text
    assert "Set-up:" not in site.sign_in("bookkeeper").get("/").text
    site.add_company("South Ltd", mode="approve", first_pull_done_at=site.clock.at)
    assert "Set-up:" not in owner.get("/").text


def test_each_step_says_what_to_copy_from_where_and_what_is_left(site: Site) -> None:
    owner = site.sign_in("owner")
    page, text = owner.get("/setup").text, " ".join(owner.text.split())
    assert "QUICKBOOKS_CLIENT_ID" in page
    assert f"{site.base}/callback/quickbooks" in page
    assert "Connect Xero" in text
    assert "Connect QuickBooks" not in text
    assert "Emails are sent by a folder of files (nothing is sent) from billing@first.example." in text
    owner.get("/setup?check=sender")
    assert "Emails are sent from billing@first.example." in owner.text


def test_steps_that_only_a_person_can_judge_are_confirmed(site: Site) -> None:
    owner = site.sign_in("owner")
    for step in ("go_live", "plan", "approvers"):  # the first of which is no matter of opinion
        owner.get("/setup")
        owner.submit("/setup", {"step": step})
        assert owner.page.status_code == (404 if step == "go_live" else 200)
    assert "3 of 7 steps done" in owner.get("/setup").text


def test_a_test_email_goes_to_oneself_and_once_a_minute(site: Site, tmp_path: Any) -> None:
    owner = site.sign_in("owner")
    owner.get("/setup")
    owner.submit("/setup/test-email", {"to": "stranger@example.org"})
    assert "The test email was sent." in owner.text
    [file] = (tmp_path / "sent").glob("*.eml")
    assert "To: owner@example.com" in file.read_text("utf-8")
    owner.submit("/setup/test-email")
    assert owner.page.status_code == 409
    assert len(list((tmp_path / "sent").glob("*.eml"))) == 1
    assert "2 of 7 steps done" in owner.get("/setup").text


def test_nothing_is_offered_that_cannot_be_sent_yet(site: Site) -> None:
    owner, settings = site.sign_in("owner"), site.app.settings
    for more, problem in (
        ({"eml_folder": None}, "No email service is set up yet"),
        ({"eml_folder": None, "gmail_client_id": "abc", "gmail_client_secret": "def"}, "is not connected yet, and"),
    ):
        object.__setattr__(site.app, "settings", settings.model_copy(update=more))
        assert problem in owner.get("/setup").text
        assert "/setup/test-email" not in owner.page.text
        assert "Emails are sent by" not in owner.page.text


def test_only_owners_see_it(site: Site) -> None:
    assert site.sign_in("bookkeeper").get("/setup").status_code == 403
