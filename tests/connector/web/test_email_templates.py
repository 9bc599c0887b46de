"""The pages of email templates: previewed with a real invoice, saved, reset."""

from __future__ import annotations

import re
from typing import Any

import pytest

from connector.db.engine import reading
from connector.emails.outbound import email_templates
from policies.receivables import Step

PATH = "/policy/emails/past_due"


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"mail_from": "billing@small.example"}


def test_a_template_is_previewed_with_a_real_invoice_saved_and_reset(site: Any) -> None:
    company = site.add_company("Small Works Ltd", country="GB", base_currency="GBP")
    site.add_overdue_invoice(company, "I-17", days=10)
    bookkeeper = site.sign_in("bookkeeper")
    assert "Default" in bookkeeper.get("/policy/emails").text
    bookkeeper.get(PATH + "?language=en")
    assert "I-17, Miller &amp; Sons, GBP 1,200.00" in bookkeeper.page.text
    words = {
        "language": "en",
        "invoice": f"{company}:i1",
        "subject": "About <I> {{ invoices }}",
        "heading": "Well \\1 now",
    }
    [button] = re.findall(rf'name="csrf" value="(\w+)" formaction="{PATH}/email.html"', bookkeeper.page.text)
    looked_at = bookkeeper.post(f"{PATH}/email.html", {**words, "csrf": button})
    assert "About &lt;I&gt; invoice I-17" in looked_at.text
    assert "Well \\1 now" in looked_at.text
    assert "1,200.00" in looked_at.text
    assert "'unsafe-inline'" in looked_at.headers["Content-Security-Policy"]
    assert "script" not in looked_at.headers["Content-Security-Policy"]
    assert own_template(site) == {}, "looking at it changes nothing"
    bookkeeper.get(PATH + "?language=en")
    assert bookkeeper.submit(PATH, {**words, "subject": "{{ invoices", "do": "save"}).status_code == 422
    assert "cannot be filled" in bookkeeper.text
    bookkeeper.submit(PATH, {**words, "do": "save"})
    assert own_template(site) == {"subject": words["subject"], "heading": words["heading"]}, "only what differs is kept"
    bookkeeper.get(PATH + "?language=en")
    bookkeeper.submit(PATH, {"do": "reset", "language": "en"})
    assert own_template(site) == {}


def test_a_template_that_another_changed_meanwhile_keeps_what_was_typed(site: Any) -> None:
    site.add_company("Small Works Ltd")
    ann, ben = site.sign_in("bookkeeper"), site.sign_in("owner")
    ann.get(PATH)
    ben.get(PATH)
    ben.submit(PATH, {"do": "save", "subject": "Ben <b>{{ invoices }}"})
    shown = ann.submit(PATH, {"do": "save", "subject": "Ann {{ invoices }}"})
    assert (shown.status_code, own_template(site)) == (409, {"subject": "Ben <b>{{ invoices }}"})
    assert "owner@example.com changed this template" in ann.text
    assert "Ann {{ invoices }}</textarea>" in shown.text
    assert "<pre>Ben &lt;b&gt;{{ invoices }}</pre>" in shown.text
    for _click in range(2):  # a double click saves it once, and is no conflict
        ann.page = shown
        assert ann.submit(PATH, {"do": "save", "subject": "Ann {{ invoices }}"}).status_code == 200
    assert own_template(site) == {"subject": "Ann {{ invoices }}"}
    ann.get(PATH)
    ben.get(PATH)
    ben.submit(PATH, {"do": "reset"})
    assert ann.submit(PATH, {"do": "save", "subject": "Ann 2"}).status_code == 409
    assert "reset this template to the default" in ann.text


def own_template(site: Any) -> dict[str, str]:
    with reading(site.app.engine) as session:
        return email_templates.find_custom_lines(session, None, Step.PAST_DUE, "en")
