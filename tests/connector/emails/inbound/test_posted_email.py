"""The door for replies, open to anybody: what it looks at before it knows an address, and what it keeps afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from connector import bounded_work
from connector.emails.inbound.posted_email import (
    KEPT_END_BYTES,
    KEPT_START_BYTES,
    KeptBody,
    find_boundary,
    find_reply_tokens,
    read_posted_email,
)
from connector.vocabulary import TaskCode
from connector.web import inbound_email
from tests.connector.emails.inbound.conftest import (
    ASHDOWN,
    REPLIES,
    TODAY,
    InboundScenario,
    customer_setting,
    list_tasks,
)
from tests.connector.emails.inbound.test_replies import post_reply

TOKEN = "a" * 32


@pytest.fixture
def read_emails(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every email that was read rather than dropped."""
    seen: list[bytes] = []
    run = bounded_work.worker.run

    def note(request: bounded_work.Request, result_type: type[Any]) -> Any:
        seen.append(request.text)
        return run(request, result_type)

    monkeypatch.setattr(bounded_work.worker, "run", note)
    return seen


def test_without_a_known_address_nothing_of_an_email_is_read(
    scenario: InboundScenario, read_emails: list[bytes]
) -> None:
    strangers = f"reply+{TOKEN}@{REPLIES}"
    elsewhere = scenario.email.reply_to.replace(REPLIES, "evil.example")
    for address in (strangers, elsewhere, "ann@example.com"):
        assert post_reply(scenario, to=address, envelope=json.dumps({"to": [address]})) == 200
    assert read_emails == []
    assert post_reply(scenario) == 200
    assert len(read_emails) == 1


def test_the_charset_of_the_request_decodes_nothing(scenario: InboundScenario) -> None:
    body = "\r\n".join(
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        for name, value in {"to": scenario.email.reply_to, "from": ASHDOWN, "text": "Schöne Grüße"}.items()
    )
    kind = "multipart/form-data; charset=utf-16; boundary=B"
    content = f"{body}\r\n--B--\r\n".encode()
    reply = scenario.client.post("/webhooks/sendgrid-inbound", data=content, headers={"Content-Type": kind})
    assert reply.status_code == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "Schöne Grüße" in task.reason


def test_an_email_that_takes_too_long_to_read_is_kept_as_unreadable(
    scenario: InboundScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound_email, "READING_S", 1e-6)
    assert post_reply(scenario) == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "could not be read here" in task.reason
    setting = customer_setting(scenario)
    assert setting is not None
    assert setting.hold_until_on == TODAY + timedelta(days=7)
    assert post_reply(scenario) == 200  # posted again, it counts once
    monkeypatch.undo()
    assert post_reply(scenario, "We paid.", id="next") == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert task.reason.count("could not be read here") == 1
    assert "We paid." in task.reason


ODD = {
    "deeply nested charsets": {"charsets": "[" * 3000},
    "a deeply nested envelope": {"envelope": '{"to": ' + "[" * 3000},
    "a charset that is none": {"charsets": json.dumps({"text": "no-such-charset", "subject": 7})},
    "a codec that is no charset": {"charsets": json.dumps({"text": "rot13", "subject": "hex"})},
    "NUL": {"text": "We\x00 paid.", "subject": "Re\x00", "from": f"A\x00nn <{ASHDOWN}>"},
    "half a surrogate": {"charsets": json.dumps({"text": "\udcff"}), "subject": "=?utf-16?b?2AA=?="},
    "an empty email": {"text": "", "subject": "", "from": "", "headers": ""},
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_reply_is_taken_and_becomes_a_task(scenario: InboundScenario, name: str) -> None:
    assert post_reply(scenario, **{"text": "We paid.", **ODD[name]}) == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "\x00" not in task.reason


def test_beyond_twenty_in_an_hour_replies_are_counted_and_not_read(
    scenario: InboundScenario, read_emails: list[bytes]
) -> None:
    for number in range(inbound_email.PER_TOKEN_MAX + 3):
        assert post_reply(scenario, f"Question {number}", id=f"q{number}") == 200
    assert len(read_emails) == inbound_email.PER_TOKEN_MAX
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert task.reason.count("More emails came within an hour") == 1
    assert "Question 19" in task.reason
    assert len(task.reason) <= 12_000


def test_one_sender_who_writes_to_many_customers_is_limited(
    scenario: InboundScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[str] = []

    def acquire(_self: object, key: str) -> bool:
        limits.append(key)
        return key != ASHDOWN

    monkeypatch.setattr("connector.rate_limit.RateLimiter.try_acquire", acquire)
    assert post_reply(scenario, **{"from": f"Ann <{ASHDOWN.upper()}>"}) == 200
    assert ASHDOWN in limits
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "More emails came within an hour" in task.reason


def _large_raw_email(scenario: InboundScenario) -> bytes:
    """Return a posted email of 5 MB whose own headers name another address: it came as a blind copy."""
    raw = f"From: Ann <{ASHDOWN}>\r\nTo: post@ashdown.example\r\nSubject: Paid\r\n\r\nWe paid.\r\n"
    envelope = json.dumps({"to": [scenario.email.reply_to], "from": ASHDOWN})
    head = '--B\r\nContent-Disposition: form-data; name="{}"\r\n\r\n'
    email = head.format("email").encode() + raw.encode() + b"> picture\r\n" * (5 * 2**20 // 11)
    return email + b"\r\n" + head.format("envelope").encode() + envelope.encode() + b"\r\n--B--\r\n"


def test_a_large_raw_email_is_found_by_its_envelope_which_comes_last(scenario: InboundScenario) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    content = _large_raw_email(scenario)
    assert scenario.client.post("/webhooks/sendgrid-inbound", data=content, headers=kind).status_code == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "We paid." in task.reason


def test_a_large_email_in_pieces_that_names_no_address_yet_is_refused_not_dropped(scenario: InboundScenario) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    content = _large_raw_email(scenario)
    pieces = (content[start : start + 2**16] for start in range(0, len(content), 2**16))
    reply = scenario.client.post("/webhooks/sendgrid-inbound", data=pieces, headers=kind)
    assert reply.status_code == 413  # SendGrid keeps it and tries again; the log says why
    assert list_tasks(scenario, TaskCode.REPLY) == []


def test_an_email_that_is_larger_still_is_read_to_its_end_only_for_a_known_address(
    scenario: InboundScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound_email, "UNKNOWN_LENGTH_MAX", 5 * 2**20)
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    content = _large_raw_email(scenario)
    assert scenario.client.post("/webhooks/sendgrid-inbound", data=content, headers=kind).status_code == 413
    known = content.replace(b"To: post@ashdown.example", f"To: {scenario.email.reply_to}".encode())
    assert scenario.client.post("/webhooks/sendgrid-inbound", data=known, headers=kind).status_code == 200
    [task] = list_tasks(scenario, TaskCode.REPLY)
    assert "We paid." in task.reason


def test_of_a_large_email_the_beginning_and_the_end_are_kept() -> None:
    kept = KeptBody()
    for _ in range(40):
        kept.add(b"x" * (KEPT_START_BYTES // 16))
    kept.add(b"the end")
    content = kept.content()
    assert kept.size == 40 * (KEPT_START_BYTES // 16) + 7
    assert content.endswith(b"x" * 1000 + b"the end")
    assert KEPT_START_BYTES + KEPT_END_BYTES <= len(content) < KEPT_START_BYTES + 3 * KEPT_END_BYTES


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=xYzZY", "xYzZY"),
        ('multipart/form-data; charset=utf-8; boundary="a b"', "a b"),
        ("multipart/form-data", ""),
        ("application/json; boundary=x", ""),
        ("multipart/form-data; boundary=" + "x" * 80, ""),
    ],
)
def test_the_boundary_is_found(content_type: str, boundary: str) -> None:
    assert find_boundary(content_type) == boundary


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda address: address, [TOKEN]),
        (str.upper, [TOKEN]),
        (lambda address: f'{{"to":["{address}"],"from":"x"}}', [TOKEN]),
        (lambda address: f"To: Larkspur <{address}>, <{address}>", [TOKEN]),
        (lambda address: f"Please write to {address}.", [TOKEN]),
        (lambda address: f"{address}.evil.example", []),
        (lambda address: address.replace("reply+a", "reply+"), []),
    ],
)
def test_reply_addresses_are_found_in_raw_bytes(write: Callable[[str], str], found: list[str]) -> None:
    assert find_reply_tokens(write(f"reply+{TOKEN}@{REPLIES}").encode(), REPLIES) == found


def test_a_field_that_is_cut_within_a_letter_stays_readable() -> None:
    text = "ü" * 150_000
    content = f'--B\r\nContent-Disposition: form-data; name="text"\r\n\r\nx{text}\r\n--B--'.encode()
    assert read_posted_email("B", content).text.startswith("xüüü")


@pytest.mark.parametrize(
    ("charset", "written_as", "text"),
    [
        ("windows-31j", "cp932", "①請求書を送ってください"),
        ("shift_jis", "cp932", "①請求書"),
        ("ks_c_5601-1987", "cp949", "똠 내일 지불하겠습니다"),
        ("gb2312", "gb18030", "鎔公司明天付款"),
        ("windows-874", "cp874", "จ่ายพรุ่งนี้"),
        ("iso-8859-8-i", "iso8859-8", "נשלם מחר"),
        ("CP-850", "cp850", "Größe falsch"),
    ],
)
def test_a_charset_is_read_as_email_programs_mean_it(charset: str, written_as: str, text: str) -> None:
    fields = {"charsets": json.dumps({"text": charset}).encode(), "text": text.encode(written_as)}
    content = b"".join(
        b'--B\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value + b"\r\n"
        for name, value in fields.items()
    )
    assert read_posted_email("B", content + b"--B--").text == text
