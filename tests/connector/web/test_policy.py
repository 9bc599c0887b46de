"""The policy pages: the schedule as a form, previews, the document, versions."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector import policy_store
from connector.auth.passwords import hash_password
from connector.auth.users import find_user
from connector.db.engine import reading, writing
from connector.db.tables import CustomerRow, InvoiceRow, PolicyVersion, SyncLogEntry
from connector.services import policy_form, policy_review
from connector.services.policy_merge import merge_documents
from connector.vocabulary import LogKind
from policies.document import parse_toml
from policies.policy import ReminderPolicy
from policies.receivables import InvoiceStatus, Segment, Size, Step
from tests.connector import site as sites

Site = Any


def add_company_with_invoice(site: Site) -> int:
    """Add a company with one overdue invoice."""
    company = site.add_company(
        "Small Works Ltd", mode="live", country="GB", base_currency="GBP", live_since_at=site.clock.at
    )
    site.add_overdue_invoice(company)
    return int(company)


def form_fields(page: str) -> dict[str, list[str]]:
    """Return what a browser would submit of the schedule's form as it is on the page."""
    form = next(each for each in re.findall(r"<form\b.*?</form>", page, re.DOTALL) if "past_due.new.large" in each)
    sent: dict[str, list[str]] = {}
    for tag in re.findall(r"<input\b[^>]*>", form):
        fields = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if fields.get("type") != "checkbox" or " checked" in tag:
            sent.setdefault(fields["name"], []).append(unescape(fields.get("value", "")))
    for name, options in re.findall(r'<select name="([^"]+)">(.*?)</select>', form, re.DOTALL):
        sent[name] = re.findall(r"<option selected>([^<]*)", options)
    return sent


def current_policy(site: Site, company: int | None = None) -> tuple[ReminderPolicy, str]:
    with reading(site.app.engine) as session:
        policy, version = policy_store.get_policy(session, company)
        return policy, policy_store.get_document(session, version) if version else ""


def test_a_bookkeeper_edits_the_schedule_previews_the_changes_and_saves(site: Site) -> None:
    add_company_with_invoice(site)
    browser = site.sign_in("bookkeeper")
    sent = form_fields(browser.get("/policy").text)
    sent["past_due.new.large"], sent["late_fees.enabled"], sent["send_window.weekdays"] = (
        ["4"],
        ["no", "yes"],
        ["", "mon"],
    )
    browser.page = browser.post("/policy", {**sent, "do": "preview"})
    assert browser.page.status_code == 200, browser.text
    assert "in the next 30 days" in browser.text
    assert "Miller & Sons" in browser.text
    assert current_policy(site)[1] == "", "nothing is saved before it was looked at"
    preview = browser.page
    for _click in range(2):  # a double click saves it once, and does not say that it was not saved
        browser.page = preview
        browser.submit("/policy/document", {"do": "save"})
        assert "Policy saved. It applies from the next sync." in browser.text
    policy, document = current_policy(site)
    said = {"past_due": {"new": {"large": 4}}, "send_window": {"weekdays": ["mon"]}, "late_fees": {"enabled": True}}
    assert policy_store._parse(document).document == policy.document
    assert parse_toml(document) == said, "a document says only what was altered"
    with reading(site.app.engine) as session:
        [line] = session.scalars(select(SyncLogEntry).where(col(SyncLogEntry.kind) == LogKind.POLICY_SET))
    assert "bookkeeper@example.com activated policy version 1" in line.text


def test_what_is_wrong_stands_beside_its_field_with_what_was_typed(site: Site) -> None:
    add_company_with_invoice(site)
    browser = site.sign_in("bookkeeper")
    sent = form_fields(browser.get("/policy").text)
    sent["final_notice.strategic.large"], sent["past_due.strategic.small"] = ["58"], ["soon"]
    sent["send_window.opens"] = ["late"]
    assert sent["thank_you.enabled"] == ["no", "yes"]
    browser.page = browser.post("/policy", {**sent, "do": "preview"})
    assert browser.page.status_code == 422
    again = form_fields(browser.page.text)
    differing = {name for name in sent if sent[name] != again[name]}
    assert not differing, "what was filled in and ticked stands there again"
    assert "Proposed account suspension on day 60 needs 10 days after final notice on day 58" in browser.text
    row = browser.page.text.partition('data-error="past_due.strategic.small"')[2].partition("</tr>")[0]
    assert 'First reminder, strategic small, must be "off" or a day from 1 to 730' in unescape(row)
    hours = browser.page.text.partition('name="send_window.opens"')[2].partition("</div>")[0]
    assert 'aria-invalid="true"' in hours.partition(">")[0]
    assert "must be a time" in unescape(hours)
    assert "<details open>\n        <summary>Send window" in browser.page.text, "its group is unfolded"
    marked = re.findall(r'name="([\w.]+)"[^>]*aria-invalid', browser.page.text)
    assert {"past_due.strategic.small", "final_notice.strategic.large"} <= set(marked)


def test_a_fee_that_can_never_be_charged_is_named_before_the_policy_is_saved(site: Site) -> None:
    company = add_company_with_invoice(site)
    owner = site.sign_in("owner")
    owner.get(f"/policy/document?company={company}")
    fees = '[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-31\nkind = "flat"\namounts = { EUR = 5 }\n'
    owner.submit("/policy/document", {"document": fees, "do": "preview"})
    assert "A flat fee of EUR 5.00 is neither charged nor announced on a balance below EUR 372.45" in owner.text


def test_the_document_is_edited_and_an_earlier_version_restored(site: Site) -> None:
    company = add_company_with_invoice(site)
    owner = site.sign_in("owner")
    for text in ('tone = "gentle" # for our members\n', 'tone = "firm"\n'):
        owner.get(f"/policy/document?company={company}")
        owner.submit("/policy/document", {"document": text.replace("\n", "\r\n"), "do": "preview"})
        assert "in the next 30 days" in owner.text
        owner.submit("/policy/document", {"do": "save"})
    assert current_policy(site, company)[0].tone == "firm"
    listed = owner.get(f"/policy/versions?company={company}").text
    assert listed.index("/policy/versions/2") < listed.index("/policy/versions/1")
    assert "owner@example.com Tone of the emails: Gentle → Firm; " in " ".join(owner.text.split())
    owner.get("/policy/versions/2")
    assert '-tone = "gentle" # for our members' in owner.text
    assert "Tone of the emails Gentle Firm" in " ".join(owner.text.split())
    owner.get("/policy/versions/1")
    assert "Go back to version 1" in owner.text
    text = 'tone = "gentle" # for our members\n'
    owner.submit("/policy/document", {"do": "preview"})
    assert "in the next 30 days" in owner.text
    owner.submit("/policy/document", {"do": "save"})
    assert current_policy(site, company)[1] == text, "written by hand, it keeps its comments"
    fields = form_fields(owner.get(f"/policy?company={company}").text)
    owner.page = owner.post("/policy", {**fields, "hand_off_review.new.large": "61", "do": "preview"})
    owner.submit("/policy/document", {"do": "save"})
    edited = current_policy(site, company)[1]
    assert edited.startswith(text), "saved from the table, it keeps them as well"
    assert edited.endswith("[hand_off_review]\nnew = { large = 61 }\n")
    owner.get(f"/policy/document?company={company}")
    owner.submit("/policy/document", {"do": "inherit"})
    owner.submit("/policy/document", {"do": "save"})
    assert current_policy(site, company)[0] == ReminderPolicy.default()
    owner.get("/policy/document")
    broken = owner.submit("/policy/document", {"document": 'tone = "loud"', "do": "save"})
    assert (broken.status_code, current_policy(site)[1]) == (422, "")
    assert 'tone must be "gentle" or "standard" or "firm"' in owner.text


def test_a_version_that_todays_rules_do_not_allow_is_still_listed_and_shown(site: Site) -> None:
    company = add_company_with_invoice(site)
    site.add_rows(
        PolicyVersion(connection_id=company, document='tone = "loud"\n', set_by="ann", set_at=site.app.now()),
        PolicyVersion(connection_id=company, document='tone = "firm"\n', set_by="ann", set_at=site.app.now()),
    )
    owner = site.sign_in("owner")
    assert "/policy/versions/2" in owner.get(f"/policy/versions?company={company}").text
    owner.get("/policy/versions/2")
    assert "one of the two versions breaks a rule that was added since" in owner.text
    assert '-tone = "loud"' in owner.text


def shown_effect(page: str) -> str:
    found = page.partition("data-effect>")[2].partition("</aside>")[0]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found)).split())


def test_the_effect_of_a_change_stands_beside_the_form_without_saving_or_asking_for_the_password(site: Site) -> None:
    add_company_with_invoice(site)
    browser = site.sign_in("bookkeeper")
    sent = form_fields(browser.get("/policy").text)
    assert "on day 3 we remind them by email" in browser.text
    assert "before anything is saved" in shown_effect(browser.page.text)
    sent["past_due.new.large"], sent["past_due.new.medium"], sent["past_due.new.small"] = ["4"], ["6"], ["7"]
    with writing(site.app.engine) as session:
        find_user(session, "bookkeeper@example.com").password_hash = hash_password("correct horse battery staple")
    site.clock.advance(minutes=45)  # it was confirmed too long ago for what changes a policy
    browser.page = browser.post("/policy", {**sent, "do": "effect"})
    effect = shown_effect(browser.page.text)
    assert re.search(r"Emails \d+ \d+ to customers 1 1 GBP asked for 1,200.00 1,200.00", effect), effect
    assert re.search(r"Miller & Sons first reminder on \d+ \w+ 2026 instead of \d+ \w+ 2026", effect), effect
    assert "1 customer is treated differently." in browser.text
    assert "on day 6 we remind them by email" in browser.text, "the story is the changed one"
    assert form_fields(browser.page.text)["past_due.new.small"] == ["7"]
    assert current_policy(site)[1] == ""
    unchanged = browser.post("/policy", {**form_fields(browser.get("/policy").text), "do": "preview"})
    assert "Nothing is changed in the form." in shown_effect(unchanged.text)


def test_another_tone_is_shown_with_the_days_it_brings(site: Site) -> None:
    add_company_with_invoice(site)
    browser = site.sign_in("bookkeeper")
    sent = {**form_fields(browser.get("/policy").text), "tone": ["gentle"], "do": "effect"}
    browser.page = browser.post("/policy", sent)
    assert "The texts of the emails change as well." in shown_effect(browser.page.text)
    again = form_fields(browser.page.text)
    assert again["past_due.new.large"] == ["5"]
    browser.page = browser.post("/policy", {**again, "tone": ["gentle"], "do": "preview"})
    browser.submit("/policy/document", {"do": "save"})
    assert parse_toml(current_policy(site)[1]) == {"tone": "gentle"}


def test_the_form_stays_small_and_only_those_who_may_edit_can_submit_it(site: Site) -> None:
    for number in range(20):
        site.add_company(f"Long-Established Trading Company of the North {number} Ltd", country="GB")
    company = add_company_with_invoice(site)
    site.add_rows(
        *(
            CustomerRow(connection_id=company, external_id=f"x{n}", name=f"Long name {n}", emails=f"x{n}@x.example")
            for n in range(12)
        ),
        *(
            InvoiceRow(
                connection_id=company, external_id=f"x{n}", number=f"X-{n}", customer_id=f"x{n}", currency="GBP",
                issued_on=site.clock.at.date() - timedelta(days=32), due_on=site.clock.at.date() - timedelta(days=2),
                total_e4=12_000_000, due_e4=12_000_000, status=InvoiceStatus.OPEN, is_open=True,
            )
            for n in range(12)
        ),
    )  # fmt: skip
    browser = site.sign_in("bookkeeper")
    sent = form_fields(browser.get("/policy").text)
    browser.page = browser.post("/policy", {**sent, "tone": ["gentle"], "do": "effect"})
    assert "See all 13" in browser.text, shown_effect(browser.page.text)
    assert len(browser.page.content) <= 60_000
    broken = {**sent, "final_notice.strategic.large": ["58"], "frequency.max_in_7_days": ["9"], "do": "effect"}
    assert len(browser.post("/policy", broken).content) <= 60_000
    viewer = site.sign_in("viewer")
    page = viewer.get("/policy").text
    assert "on day 3 we remind them by email" in page
    assert 'class="whole" disabled' in page
    assert 'name="do"' not in page
    assert "before anything is saved" not in page, "nobody is asked to do what they may not"
    assert viewer.post("/policy", {**sent, "do": "effect"}).status_code == 403


def test_a_policy_for_some_customers_has_its_own_form(site: Site) -> None:
    add_company_with_invoice(site)
    owner = site.sign_in("owner")
    owner.get("/policy")
    owner.page = owner.post(
        "/policy",
        {**hidden_fields(owner), "customer_policy_name": "friends", "tags": "friend, vip", "do": "applies_to"},
    )
    owner.submit("/policy/document", {"do": "save"})
    assert current_policy(site)[0].customer_policies[0][0].tags == {"friend", "vip"}
    sent = form_fields(owner.get("/policy?customer_policy=friends").text)
    assert "segments.new_days" not in sent
    owner.page = owner.post("/policy", {**sent, "tone": "gentle", "do": "preview"})
    owner.submit("/policy/document", {"do": "save"})
    general, [(_, friends)] = current_policy(site)[0], current_policy(site)[0].customer_policies
    assert (general.tone, friends.tone) == ("standard", "gentle")
    assert friends.document["past_due"] == ReminderPolicy.from_toml('tone = "gentle"').document["past_due"]
    owner.page = owner.post("/policy", {**hidden_fields(owner, "?customer_policy=friends"), "do": "delete"})
    owner.submit("/policy/document", {"do": "save"})
    assert current_policy(site)[0].customer_policies == ()


def hidden_fields(browser: Any, query: str = "") -> dict[str, list[str]]:
    page = browser.get("/policy" + query).text
    return {
        name: value
        for name, value in form_fields(page).items()
        if name in {"csrf", "company", "version", "customer_policy"}
    }


def test_the_preview_is_skipped_for_very_large_companies(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    add_company_with_invoice(site)
    monkeypatch.setattr(policy_review, "SECONDS_MAX", -1.0)
    browser = site.sign_in("bookkeeper")
    browser.page = browser.post(
        "/policy", {**form_fields(browser.get("/policy").text), "tone": "gentle", "do": "preview"}
    )
    assert "duewell policy diff" in browser.text
    browser.submit("/policy/document", {"do": "save"})
    assert current_policy(site)[0].tone == "gentle", "a person may still decide"


def test_concurrent_edits_do_not_overwrite_each_other(site: Site) -> None:
    add_company_with_invoice(site)
    browser = site.sign_in("bookkeeper")
    sent = form_fields(browser.get("/policy").text)
    with writing(site.app.engine) as session:
        policy_store.activate_policy(session, 'tone = "firm"\n', by="bo", at=site.clock.at)
    sent["past_due.new.large"] = ["4"]
    shown = browser.post("/policy", {**sent, "tone": "gentle", "do": "preview"})
    assert shown.status_code == 409
    assert "was saved by bo on" in shown.text
    row = re.search(r"<tr><th[^>]*>Tone.*?</tr>", shown.text, re.DOTALL)
    assert row is not None
    assert re.findall(r">([^<>]+)</td>", row[0]) == ["Standard", "Firm", "Gentle"]  # before, meanwhile, entered
    kept = form_fields(shown.text)
    assert (kept["past_due.new.large"], '<option value="gentle" selected>' in shown.text) == (["4"], True)
    browser.page = browser.post("/policy", {**kept, "tone": "gentle", "do": "preview"})
    browser.submit("/policy/document", {"do": "save"})
    policy, _document = current_policy(site)
    assert (policy.tone, policy.step_tables[Step.PAST_DUE].days[Segment.NEW, Size.LARGE]) == ("gentle", 4)


def test_changes_to_other_settings_are_both_kept(site: Site) -> None:
    add_company_with_invoice(site)
    browser = site.sign_in("bookkeeper")
    sent = {**form_fields(browser.get("/policy").text), "tone": ["standard"]}
    for bad, day in ((True, "four"), (False, "4")):
        with writing(site.app.engine) as session:
            policy_store.activate_policy(session, 'tone = "firm"\n# why\n', by="bo", at=site.clock.at)
        shown = browser.post("/policy", {**sent, "past_due.new.large": day, "do": "preview"})
        assert (shown.status_code, form_fields(shown.text)["past_due.new.large"]) == (409, [day])
        assert ("not valid" in shown.text.lower()) == bad
        assert '<option value="firm" selected>' in shown.text
    for name, version in (("applies_to", sent["version"]), ("preview", "999"), ("preview", "x")):
        fields = {**sent, "version": version, "do": name, "customer_policy_name": "VIPs", "tags": "vip"}
        found = browser.post("/policy", fields)
        assert found.status_code == (409 if name == "applies_to" else 404)
        assert "vip" in found.text or found.status_code == 404


@pytest.mark.parametrize(
    ("saved", "entered", "expected"),
    [
        ('tone = "firm"\n', '# mine\ntone = "standard"\n', '# mine\ntone = "firm"\n'),
        ('tone = "firm"\n', 'tone = "gentle"\n', 'tone = "gentle"\n'),
        ('tone = "standard"\n[a]\n', 'tone = "standard"\n[b]\n', 'tone = "standard"\n[a]\n[b]\n'),
        ('tone = "standard"\n[a]\n', 'tone = "standard"\n[a]\n', 'tone = "standard"\n[a]\n'),
        ('tone = "standard"\n[a]\nx = 1\n', 'tone = "standard"\n[a]\ny = 1\n', 'tone = "standard"\n[a]\ny = 1\n'),
        ("", 'tone = "standard"\n# mine\n', "# mine\n"),
    ],
)
def test_documents_of_two_people_are_merged_line_by_line(saved: str, entered: str, expected: str) -> None:
    assert merge_documents('tone = "standard"\n', saved, entered) == expected


def test_a_document_that_is_out_of_date_is_shown_again_on_top_of_what_was_saved(site: Site) -> None:
    add_company_with_invoice(site)
    browser = site.sign_in("bookkeeper")
    browser.get("/policy/document")
    with writing(site.app.engine) as session:
        policy_store.activate_policy(session, "[thank_you]\nenabled = false\n", by="bo", at=site.clock.at)
    for action in ("preview", "save"):
        browser.get("/policy/document")
        read = current_policy(site)[1]
        fields = sites.hidden_fields(browser.page.text, "/policy/document")
        with writing(site.app.engine) as session:
            document = f"[thank_you]\nenabled = false\n# {action}\n"
            policy_store.activate_policy(session, document, by="bo", at=site.clock.at)
        mine = read.replace("[thank", f"# my {action}\n[thank", 1)
        browser.page = browser.post("/policy/document", {**fields, "document": mine, "do": action})
        assert browser.page.status_code == 409
        assert f"# my {action}" in browser.text
        assert f"# {action}" in browser.text
    browser.submit("/policy/document", {"do": "save"})
    assert current_policy(site)[1] == "# my save\n[thank_you]\nenabled = false\n# save\n"


def test_users_limited_to_a_company_edit_only_its_policy(site: Site) -> None:
    add_company_with_invoice(site)
    south = site.add_company("South Ltd")
    site.add_rows(PolicyVersion(connection_id=south, document='tone = "firm"\n', set_by="Sue", set_at=site.clock.at))
    limited = site.sign_in("bookkeeper", 1)
    assert "Small Works Ltd uses the policy of all companies" in limited.get("/policy").text
    assert limited.get(f"/policy?company={south}").status_code == 404
    assert limited.get("/policy/versions/1").status_code == 404
    assert "Sue" not in limited.get("/policy/versions").text
    fields = hidden_fields(limited)
    assert fields["company"] == ["1"]
    refused = limited.post("/policy", {**fields, "company": str(south), "tone": "firm", "do": "preview"})
    assert refused.status_code == 404


def past_due_days(large: int, medium: int, small: int) -> dict[str, Any]:
    return {"past_due": {"new": {"large": large, "medium": medium, "small": small}}}


@pytest.mark.parametrize(
    ("before", "field", "text", "after"),
    [
        ("[past_due]\nnew = 4\n", "past_due.new.small", "5", past_due_days(4, 4, 5)),
        ("", "call.new.large", "", {"call": {"new": {"large": "off"}}}),
        ("", "minimum_balance", "default 5, EUR 7.50", {"minimum_balance": {"default": 5, "EUR": 7.5}}),
        ("[late_fees]\nterms_agreed_on = 2026-01-31\n", "late_fees.terms_agreed_on", "", {"late_fees": {}}),
        ("", "data_freshness.payments_stale_after_days", "30", {"data_freshness": {"payments_stale_after_days": 30}}),
    ],
)  # fmt: skip
def test_a_form_field_changes_one_value_of_the_document(
    before: str, field: str, text: str, after: dict[str, Any]
) -> None:
    document, changed = policy_form.apply_form(before, ReminderPolicy.from_toml(before), {field: [text]})
    assert (parse_toml(document), changed) == (after, [field])
    ReminderPolicy.from_toml(document)
    same = policy_form.field_values(ReminderPolicy.from_toml(before))
    kept = {name: value.split(" | ") for name, value in same.items()}
    assert policy_form.apply_form(before, ReminderPolicy.from_toml(before), kept) == (before, [])


def test_a_statutory_rate_is_added_for_all_companies_or_one(site: Site) -> None:
    company = add_company_with_invoice(site)
    owner = site.sign_in("owner")
    page = owner.get("/policy/rates").text
    assert "Published here: bankofengland.co.uk, Bank Rate." in page
    fields = {"preset": "uk", "from_on": "2022-01-01", "rate": "88", "source": "Bank Rate", "replace": "yes"}
    refused = owner.submit("/policy/rates", {**fields, "checked_on": "2022-01-03"})
    assert refused.status_code == 422
    for wrong, words in (
        ({}, ("rate", "88 % is too far from 9.25 % from 1 Jul 2022.")),
        ({"rate": "much"}, ("rate", "ust be")),
        ({"from_on": "2022-02-01"}, ("from_on", "ust be the first day of a half-year")),
        ({"rate": "8.2", "checked_on": "2999-01-03"}, ("checked_on", "which is not yet past")),
    ):
        refused = owner.submit("/policy/rates", {"checked_on": "2022-01-03", **fields, **wrong})
        assert refused.status_code == 422
        assert words[1] in unescape(refused.text.partition(f'id="{words[0]}-problem">')[2].partition("</p>")[0])
        assert 'value="Bank Rate"' in refused.text
    owner.submit("/policy/rates", {**fields, "checked_on": "2022-01-03", "rate": "8.2"})
    assert "Added by" in owner.get("/policy/rates").text
    owner.get(f"/policy/rates?company={company}")
    owner.submit("/policy/rates", {**fields, "checked_on": "2022-01-03", "rate": "8.3"})
    uk = '[late_fees]\npreset = "uk"\n'
    with writing(site.app.engine) as session:
        assert [
            str(policy_store.parse_policy(session, uk, each).late_fees.rates[0][1]) for each in (None, company)
        ] == ["8.2", "8.3"]


def test_another_preset_takes_the_own_figures_of_the_first_out_of_the_document() -> None:
    document = '[late_fees]\npreset = "uk"\nrates = { "2027-01-01" = 9.99 }\ndue_days = 20\n'
    shown = ReminderPolicy.from_toml(document)
    changed, _names = policy_form.apply_form(document, shown, {"late_fees.preset": ["germany"]})
    assert parse_toml(changed) == {"late_fees": {"preset": "germany", "due_days": 20}}
