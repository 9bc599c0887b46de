"""Replies: they pause reminders and become a task, in whatever form they come; automatic ones do neither."""

from __future__ import annotations

import json
from datetime import timedelta
from email.message import EmailMessage

import pytest

from connector.emails.inbound.reply_parsing import parse_reply
from connector.vocabulary import TaskCode
from tests.connector.emails.inbound.conftest import (
    ASHDOWN,
    REPLIES,
    TODAY,
    InboundScenario,
    customer_setting,
    list_tasks,
    log_text,
    run_for_days,
)


def post_reply(
    scenario: InboundScenario, text: str = "We will pay on Friday.", headers: str = "", **fields: str
) -> int:
    email_headers = f"Message-ID: <{fields.pop('id', 'm1')}@ashdown.example>\nFrom: Ann <{ASHDOWN}>\n{headers}"
    form = {
        "headers": email_headers,
        "from": f"Ann <{ASHDOWN}>",
        "to": scenario.email.reply_to,
        "subject": f"Re: {scenario.email.subject}",
        "text": text,
        "envelope": json.dumps({"to": [scenario.email.reply_to], "from": ASHDOWN}),
        **fields,
    }
    files = {name: (None, value) for name, value in form.items()}
    return int(scenario.client.post("/webhooks/sendgrid-inbound", files=files).status_code)


def test_a_reply_pauses_reminders_and_becomes_a_task_with_its_text(scenario: InboundScenario) -> None:
    quoted = "\n\nOn Wed, 10 Jun 2026 at 12:00, Larkspur wrote:\n> Your invoice is past due"
    assert post_reply(scenario, f"We will pay on Friday.{quoted}") == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "We will pay on Friday." in task.reason
    assert ASHDOWN in task.reason
    assert "> Your invoice" not in task.reason
    setting = customer_setting(scenario)
    assert setting is not None
    assert setting.hold_until_on == TODAY + timedelta(days=7)
    assert "We will pay on Friday" not in log_text(scenario)  # what customers write is not logged
    run_for_days(scenario, 6)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


@pytest.mark.parametrize("days", [12, 0])
def test_the_policy_says_for_how_long_a_reply_pauses_reminders(scenario: InboundScenario, days: int) -> None:
    scenario.set_policy(f"[replies]\npause_days = {days}\n")
    post_reply(scenario)
    assert len(list_tasks(scenario, TaskCode.REPLY)) == 1
    setting = customer_setting(scenario)
    assert (setting.hold_until_on if setting else None) == (TODAY + timedelta(days=days) if days else None)


def test_a_reply_that_is_posted_again_counts_once(scenario: InboundScenario) -> None:
    assert [post_reply(scenario) for _ in range(3)] == [200, 200, 200]
    assert len(list_tasks(scenario, TaskCode.REPLY)) == 1


@pytest.mark.parametrize(
    ("headers", "subject"),
    [
        ("Auto-Submitted: auto-replied\n", "Re: your email"),
        ("Content-Type: multipart/report; report-type=delivery-status\n", "Returned"),
        ("", "Out of office: Re: your invoice"),
        ("", "=?utf-8?q?R=C3=A9ponse_automatique_=3A_facture?="),
        ("", "Automatische Antwort: Ihre Rechnung"),
    ],
)
def test_an_automatic_reply_pauses_nothing_and_a_person_still_reads_it(
    scenario: InboundScenario, headers: str, subject: str
) -> None:
    headers = f"{headers}Subject: {subject}\n"
    assert post_reply(scenario, "I left, write to payables@ashdown.example.", headers, subject="") == 200
    assert customer_setting(scenario) is None
    assert list_tasks(scenario, TaskCode.REPLY) == []
    [task] = list_tasks(scenario, TaskCode.AUTO_REPLY)
    assert "payables@ashdown.example" in task.reason
    assert "automatic reply" in log_text(scenario)
    assert "Auto-Submitted" not in log_text(scenario), "a bookkeeper reads it"


@pytest.mark.parametrize(
    ("headers", "subject", "sender"),
    [
        ("Precedence: list\nList-Id: <payables.ashdown.example>\n", "Re: your email", ASHDOWN),
        ("X-Auto-Response-Suppress: All\n", "Re: your email", ASHDOWN),
        ("Feedback-ID: 7:desk\n", "Re: your email", ASHDOWN),
        ("", "Undelivered goods, invoice 1042", ASHDOWN),
        ("", "Delivery failure: pallets missing", ASHDOWN),
        ("", "Re: your email", "postmaster.jones@ashdown.example"),
        ("", "Re: your email", "bounce.castle.hire@ashdown.example"),
    ],
)
def test_a_reply_counts_as_written_by_a_person_unless_it_is_certainly_automatic(
    scenario: InboundScenario, headers: str, subject: str, sender: str
) -> None:
    assert post_reply(scenario, "Two pallets are missing.", headers, subject=subject, **{"from": sender}) == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "Two pallets are missing." in task.reason
    setting = customer_setting(scenario)
    assert setting is not None
    assert setting.hold_until_on == TODAY + timedelta(days=7)


def test_identical_help_desk_acknowledgements_pause_reminders_once(scenario: InboundScenario) -> None:
    text = "Thank you, your request #{} was received. Our payables team replies within two working days."
    assert post_reply(scenario, text.format(5521), id="a1") == 200
    assert len(list_tasks(scenario, TaskCode.REPLY)) == 1
    while len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) < 2:
        run_for_days(scenario, 1)
    before = customer_setting(scenario)
    assert post_reply(scenario, text.format(5699), id="a2") == 200
    assert len(list_tasks(scenario, TaskCode.REPLY)) == 1
    assert customer_setting(scenario) == before
    assert "it repeats an earlier one" in log_text(scenario)


def test_all_replies_of_a_day_are_one_task_with_the_newest_first(scenario: InboundScenario) -> None:
    texts = ["Paid today.", "Paid today.", "No, sorry: on Friday."]
    assert [post_reply(scenario, text, id=f"p{n}") for n, text in enumerate(texts)] == [200] * 3
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert task.reason.count("Paid today.") == 2
    assert task.reason.index("on Friday") < task.reason.index("Paid today.")
    scenario.pass_days(1)
    assert post_reply(scenario, "And one more thing.", id="p9") == 200
    assert len(list_tasks(scenario, TaskCode.REPLY)) == 2


def test_a_raw_email_in_eight_bits_keeps_its_letters_and_its_subject(scenario: InboundScenario) -> None:
    raw = (
        f"Message-ID: <r8@ashdown.example>\nFrom: {ASHDOWN}\nTo: {scenario.email.reply_to}\n"
        "Subject: =?utf-8?q?Zahlung_f=C3=BCr_Rechnung?=\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nSchöne Grüße, 50 € folgen.\n"
    )
    files = {"email": (None, raw), "envelope": (None, json.dumps({"to": [scenario.email.reply_to], "from": ASHDOWN}))}
    assert scenario.client.post("/webhooks/sendgrid-inbound", files=files).status_code == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "Schöne Grüße, 50 € folgen." in task.reason
    assert "Zahlung für Rechnung" in task.reason


@pytest.mark.parametrize("charset", ["latin1", "ISO8859-1", "cp1252", "windows-1252", "us-ascii", "x-unknown"])
def test_a_raw_email_is_decoded_whatever_alias_of_its_charset_it_names(charset: str) -> None:
    head = f"Subject: Re\nMIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\n"
    raw = f"{head}Content-Transfer-Encoding: 8bit\n\nDie Maße sind für uns falsch.\n"
    assert parse_reply({"email": raw}).text == "Die Maße sind für uns falsch."


def test_all_texts_of_a_raw_email_are_read_and_no_attachment() -> None:
    parts = [
        "Content-Type: text/plain\n\nPallet 3 arrived like this:\n",
        "Content-Type: image/png\nContent-Disposition: inline\n\nx\n",
        "Content-Type: text/plain\n\nWe dispute the invoice.\n",
        "Content-Type: message/rfc822\n\nSubject: forwarded\nContent-Type: text/plain\n\nThe carrier's email.\n",
        "Content-Type: text/plain\nContent-Disposition: attachment\n\nA log file.\n",
    ]
    body = "".join(f"--B\n{part}" for part in reversed(parts[3:])) + "".join(f"--B\n{part}" for part in parts[:3])
    raw = f"Subject: Re\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n{body}--B--\n"
    assert parse_reply({"email": raw}).text.split("\n") == ["Pallet 3 arrived like this:", "We dispute the invoice."]


def test_an_email_to_an_unknown_address_is_accepted_and_dropped(scenario: InboundScenario) -> None:
    stranger = f"reply+{'a' * 32}@{REPLIES}"
    assert post_reply(scenario, envelope=json.dumps({"to": [stranger]}), to=stranger) == 200
    elsewhere = scenario.email.reply_to.replace(REPLIES, "evil.example")
    assert post_reply(scenario, envelope=json.dumps({"to": [elsewhere]}), to=elsewhere) == 200
    assert list_tasks(scenario, TaskCode.REPLY) == []


def test_a_long_reply_is_a_short_task_and_a_huge_one_is_rejected(scenario: InboundScenario) -> None:
    assert post_reply(scenario, "word " * 100_000, html="<p>x</p>" * 1000, id="long") == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert len(task.reason) < 5000
    assert post_reply(scenario, "x" * (33 * 2**20), id="flood") in {400, 413}
    assert len(list_tasks(scenario, TaskCode.REPLY)) == 1


def test_a_request_that_is_not_a_multipart_form_is_rejected(scenario: InboundScenario) -> None:
    for content, kind in ((b"{}", "application/json"), (b"junk", "multipart/form-data"), (b"", "")):
        reply = scenario.client.post("/webhooks/sendgrid-inbound", data=content, headers={"Content-Type": kind})
        assert reply.status_code == 400


@pytest.mark.parametrize(
    ("html", "own"),
    [
        ("<html><head><title>Re: x</title><body><p>2 pallets missing</p>", "2 pallets missing"),
        ("<head><meta charset=utf-8><p>2 pallets missing</p>", "2 pallets missing"),
        ("<p>We pay 5 & more <b", "We pay 5 & more <b"),
        ("<p>Paid</p><![office x]>on Friday", "Paid\non Friday"),
        ("<table><tr><td>INV-1</td><td>paid</td></tr></table>", "INV-1 paid"),
        ("<ul><li>one<li>two</ul><h3>Total</h3>3", "one\ntwo\n\nTotal\n3"),
        ("<p>Yes</p><blockquote>Dear Ms Vale<p>pay us</p></blockquote>on Friday", "Yes\n\non Friday"),
        (
            (
                '<p>Yes</p><blockquote class="x elementToProof">Paid<br>on Monday</blockquote>'
                '<blockquote>Dear<blockquote class="elementToProof">pay us</blockquote></blockquote>Jo'
            ),
            "Yes\n\nPaid\non Monday\n\nJo",
        ),
    ],
)
def test_nothing_of_a_reply_in_odd_html_is_lost(html: str, own: str) -> None:
    assert parse_reply({"html": html}).text == own


def test_a_reply_in_html_only_is_parsed(scenario: InboundScenario) -> None:
    assert (
        post_reply(scenario, "", html="<html><style>p{}</style><p>We paid &amp; are sorry.</p><script>x()</script>")
        == 200
    )
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "We paid & are sorry." in task.reason
    assert "x()" not in task.reason


@pytest.mark.parametrize(("charset", "text"), [("windows-1252", "Wir zahlen 50 €"), ("windows-1251", "Оплатим завтра")])
def test_a_reply_is_decoded_by_its_charset(scenario: InboundScenario, charset: str, text: str) -> None:
    form = {
        "headers": (None, f"Message-ID: <c1@ashdown.example>\nFrom: {ASHDOWN}\n"),
        "dkim": (None, "{@ashdown.example : pass}"),
        "to": (None, scenario.email.reply_to),
        "from": (None, ASHDOWN),
        "sender_ip": (None, "203.0.113.9"),
        "spam_score": (None, "0.1"),
        "SPF": (None, "pass"),
        "subject": (None, "Re: Invoice"),
        "text": (None, text.encode(charset)),
        "charsets": (None, json.dumps({"to": "UTF-8", "subject": "UTF-8", "from": "UTF-8", "text": charset})),
        "envelope": (None, json.dumps({"to": [scenario.email.reply_to], "from": ASHDOWN})),
        "attachments": (None, "1"),
        "attachment-info": (None, json.dumps({"attachment1": {"filename": "logo.png", "type": "image/png"}})),
        "attachment1": ("logo.png", b"\x89PNG", "image/png"),
    }
    assert scenario.client.post("/webhooks/sendgrid-inbound", files=form).status_code == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert text in task.reason
    assert "Attached, and not kept here: logo.png" in task.reason


@pytest.mark.parametrize("raw", [False, True])
def test_a_reply_without_a_text_says_so_and_names_what_is_attached(scenario: InboundScenario, *, raw: bool) -> None:
    email = EmailMessage()
    email["Message-ID"], email["From"], email["To"] = "<m@ashdown.example>", ASHDOWN, scenario.email.reply_to
    email.set_content("")
    email.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Zahlungsavis März.pdf")
    email.add_attachment(b"GIF", maintype="image", subtype="gif", filename="logo.gif", cid="<logo>")
    email.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Avis 2.pdf", cid="<f_m1>")
    email.add_attachment(b"JPG", maintype="image", subtype="jpeg", filename="cheque.jpg", cid="<f_m2>")
    described = {
        "a": {"filename": "Zahlungsavis März.pdf"},
        "b": {"filename": "logo.gif", "type": "image/gif", "content-id": "logo"},
        "c": {"filename": "Avis 2.pdf", "type": "application/pdf", "content-id": "f_m1"},
        "d": {"filename": "cheque.jpg", "type": "image/jpeg", "content-id": "f_m2"},
    }
    form = {
        "envelope": json.dumps({"to": [scenario.email.reply_to], "from": ASHDOWN}),
        **(
            {"email": email.as_string()}
            if raw
            else {"from": ASHDOWN, "text": "", "attachment-info": json.dumps(described)}
        ),
    }
    files = {name: (None, value) for name, value in form.items()}
    assert scenario.client.post("/webhooks/sendgrid-inbound", files=files).status_code == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    attached = "Zahlungsavis März.pdf, Avis 2.pdf, cheque.jpg"
    assert task.reason == f"Ashdown Ltd ({ASHDOWN}) replied: (no text)\nAttached, and not kept here: {attached}"


@pytest.mark.parametrize(("headers", "codes"), [("", [TaskCode.REPLY]), ("Auto-Submitted: auto-replied\n", [])])
def test_a_raw_email_is_parsed_the_same(scenario: InboundScenario, headers: str, codes: list[TaskCode]) -> None:
    email = EmailMessage()
    email["Message-ID"], email["From"], email["To"] = "<raw@ashdown.example>", ASHDOWN, scenario.email.reply_to
    email["Subject"] = "Re: Invoice"
    email.set_content("Zahlung kommt am Freitag, schöne Grüße.", charset="iso-8859-1")
    email.add_alternative("<p>Zahlung kommt am Freitag.</p>", subtype="html")
    envelope = json.dumps({"to": [scenario.email.reply_to], "from": ASHDOWN})
    files = {"email": (None, headers + email.as_string()), "envelope": (None, envelope), "from": (None, ASHDOWN)}
    assert scenario.client.post("/webhooks/sendgrid-inbound", files=files).status_code == 200
    tasks = list_tasks(scenario, TaskCode.REPLY)
    assert [task.code for task in tasks] == codes
    assert all("schöne Grüße" in task.reason for task in tasks)
