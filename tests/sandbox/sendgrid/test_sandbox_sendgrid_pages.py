"""The pages that show the emails the sandbox accepted."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import requests

Body = dict[str, Any]


class _Page(HTMLParser):
    """The parts of a page that the tests check."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.frames: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")
        if tag == "iframe":
            self.frames.append(dict(attrs))


def test_list_shows_the_newest_first_with_links(http: requests.Session, url: str, request_body: Body) -> None:
    assert "No emails yet" in requests.get(f"{url}/emails", timeout=10).text
    for subject in ("First", "Second"):
        http.post(f"{url}/v3/mail/send", json={**request_body, "subject": subject})
    page = requests.get(f"{url}/emails", timeout=10).text
    assert _Page(page).links == ["/emails/2", "/emails/1"]
    assert page.index("Second") < page.index("First")
    assert 'name="viewport"' in page
    assert "color-scheme: light dark" in page
    assert requests.get(f"{url}/sandbox/emails", timeout=10).url == f"{url}/emails"


def test_email_shows_its_html_in_a_sandboxed_frame_and_its_text_beside_it(
    http: requests.Session, url: str, request_body: Body
) -> None:
    evil = {"type": "text/html", "value": '<script>alert(1)</script><a href="https://pay.example">Pay</a>"\'>'}
    http.post(f"{url}/v3/mail/send", json={**request_body, "content": [request_body["content"][0], evil]})
    reply = requests.get(f"{url}/emails/1", timeout=10)
    page = _Page(reply.text)
    assert "script" not in page.tags
    assert page.tags.count("h1") == 1
    (frame,) = page.frames
    assert "allow-scripts" not in (frame["sandbox"] or "")
    assert "allow-same-origin" not in (frame["sandbox"] or "")
    assert evil["value"] in (frame["srcdoc"] or "")
    assert frame["title"]
    assert "Please pay &lt;soon&gt;." in reply.text
    assert "Invoice 1001 &amp; its due day" in reply.text
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


def test_attachments_can_be_downloaded(http: requests.Session, url: str, request_body: Body) -> None:
    part = {"content": "JVBERi0xLjQ=", "filename": 'in"voice.pdf', "type": "application/pdf"}
    http.post(f"{url}/v3/mail/send", json={**request_body, "attachments": [part]})
    assert "/emails/1/attachments/0" in _Page(requests.get(f"{url}/emails/1", timeout=10).text).links
    got = requests.get(f"{url}/emails/1/attachments/0", timeout=10)
    assert got.content == b"%PDF-1.4"
    assert got.headers["Content-Disposition"] == 'attachment; filename="invoice.pdf"'
    assert requests.get(f"{url}/emails/1/attachments/1", timeout=10).status_code == 404


def test_pages_link_to_the_previous_and_next_email(http: requests.Session, url: str, request_body: Body) -> None:
    for _ in range(3):
        http.post(f"{url}/v3/mail/send", json=request_body)
    assert _Page(requests.get(f"{url}/emails/2", timeout=10).text).links[:3] == ["/emails", "/emails/3", "/emails/1"]
    assert requests.get(f"{url}/emails/4", timeout=10).status_code == 404
