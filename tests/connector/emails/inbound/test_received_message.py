"""Delivery reports of different servers, and messages whose structure is odd."""

from __future__ import annotations

import pytest

from connector.emails.inbound.received_message import ReceivedMessage, read_message

OWN = "<0123456789abcdef0123456789abcdef@larkspur.example>"

HEAD = "From: {sender}\r\nTo: billing@larkspur.example\r\nSubject: {subject}\r\nMessage-ID: <r1@mx.example>\r\n"


def report(status: str, original: str, sender: str = "MAILER-DAEMON@mx.example", extra: str = "") -> ReceivedMessage:
    text = (
        HEAD.format(sender=sender, subject="Undelivered Mail Returned to Sender") + extra + "MIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b1"\r\n\r\n'
        "--b1\r\nContent-Type: text/plain\r\n\r\nI'm sorry.\r\n"
        f"--b1\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n"
        f"--b1\r\n{original}\r\n--b1--\r\n"
    )
    return read_message(text.encode())


POSTFIX = (
    "Reporting-MTA: dns; mx.example\r\nX-Postfix-Queue-ID: 4XyZ\r\nArrival-Date: Wed, 10 Jun 2026 10:00:00\r\n\r\n"
    "Final-Recipient: rfc822; ann@ashdown.example\r\nOriginal-Recipient: rfc822;accounts@ashdown.example\r\n"
    "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.ashdown.example\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1 <ann@ashdown.example>: Recipient address\r\n    rejected: User unknown\r\n"
)
WHOLE = f"Content-Type: message/rfc822\r\n\r\nMessage-ID: {OWN}\r\nSubject: Invoice\r\n\r\nDear Ann\r\n"
HEADERS = f"Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: {OWN}\r\nSubject: Invoice\r\n"


@pytest.mark.parametrize("original", [WHOLE, HEADERS], ids=["the whole email", "its headers"])
def test_a_report_names_the_email_that_it_returns(original: str) -> None:
    message = report(POSTFIX, original)
    assert message.is_report
    assert message.references == (OWN,)
    [found] = message.reports
    assert found.addresses == ("accounts@ashdown.example", "ann@ashdown.example")
    assert (found.action, found.status) == ("failed", "5.1.1")
    assert found.diagnostic.startswith("550 5.1.1")
    assert "User unknown" in found.diagnostic


def test_a_report_that_returns_nothing_is_known_by_its_reference() -> None:
    message = report(POSTFIX, "Content-Type: text/plain\r\n\r\n", extra=f"In-Reply-To: {OWN}\r\n")
    assert message.references == (OWN,)


def test_each_recipient_of_a_report_is_one() -> None:
    status = POSTFIX + "\r\nFinal-Recipient: rfc822; bob@ashdown.example\r\nAction: delayed\r\nStatus: 4.4.1\r\n"
    found = report(status, WHOLE).reports
    assert [(each.addresses[-1], each.action, each.status) for each in found] == [
        ("ann@ashdown.example", "failed", "5.1.1"),
        ("bob@ashdown.example", "delayed", "4.4.1"),
    ]


@pytest.mark.parametrize(
    "status",
    [
        "",
        "nonsense",
        "Final-Recipient:\r\n",
        "Final-Recipient: rfc822;\r\nStatus: five\r\nAction: 7\r\n",
        "\r\n" * 3,
    ],
)
def test_a_report_that_says_nothing_is_no_trouble(status: str) -> None:
    message = report(status, WHOLE)
    assert all(not each.addresses for each in message.reports)


def test_a_reply_names_the_email_it_answers_before_earlier_ones() -> None:
    head = HEAD.format(sender="ann@ashdown.example", subject="Re: Invoice")
    text = head + f"In-Reply-To: {OWN}\r\nReferences: <first@x.example> <second@x.example> {OWN}\r\n\r\nPaid.\r\n"
    message = read_message(text.encode())
    assert message.references == (OWN, "<second@x.example>", "<first@x.example>")
    assert message.reply.text == "Paid."
    assert not message.is_report


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n",
        b'Content-Type: multipart/report; boundary="\r\n\r\n\xff',
        b"Content-Type: message/rfc822\r\n\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 200,
        b"References: " + b"<a@b> " * 5000 + b"\r\n\r\nhello",
        "Subject: Grüße\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nGrüße".encode("latin-1"),
    ],
    ids=["empty", "bytes", "cut", "open quote", "deep", "many references", "latin"],
)
def test_any_bytes_can_be_read(content: bytes) -> None:
    message = read_message(content)
    assert len(message.references) <= 50
    assert message.reports == ()


def test_letters_of_another_charset_are_kept() -> None:
    text = "Subject: Zahlung\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nGrüße aus Köln"
    assert read_message(text.encode("latin-1")).reply.text == "Grüße aus Köln"
