"""The page of a company's brand: what is uploaded, tried out and saved, and who may."""

from __future__ import annotations

import io
import re
from html import unescape
from typing import Any

import pytest
from PIL import Image

from connector.branding.brand import load_brand
from connector.db.engine import reading
from tests.connector.site import hidden_fields


def png(colour: str = "#7a285a") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (600, 200), colour).save(file, "PNG")
    return file.getvalue()


def saved(site: Any, company: int) -> Any:
    with reading(site.app.engine) as session:
        return load_brand(session, company)


def upload(browser: Any, path: str, action: str, fields: dict[str, str], **files: bytes) -> Any:
    """Send the form on the current page with files, as a browser does: a file that was not chosen is empty."""
    token = re.findall(rf'name="csrf" value="(\w+)" formaction="{action}"', browser.page.text)
    token = token or hidden_fields(browser.page.text, action)["csrf"]
    version = unescape(re.findall(r'name="version" value="([^"]*)"', browser.page.text)[0])
    sent = {
        "logo": ("", b"", "application/octet-stream"),
        **{name: (f"{name}.png", each, "image/png") for name, each in files.items()},
    }
    data = {"csrf": token[0], "version": version, **fields}
    browser.page = browser.http.post(
        browser.base + path, data=data, files=sent, headers={"Origin": browser.base}, timeout=20
    )
    return browser.page


def test_a_brand_is_tried_out_saved_and_taken_back(site: Any) -> None:
    company = site.add_company("Small Works Ltd", country="GB", base_currency="GBP")
    path = f"/companies/{company}/brand"
    bookkeeper = site.sign_in("bookkeeper")
    bookkeeper.get(path)
    texts = {"accent_colour": "#7A285A", "signer_name": "Ann <Lee>", "legal_footer": "Registered in England\r\n0123456"}
    shown = upload(bookkeeper, f"{path}/email.html", f"{path}/email.html", texts, logo=png())
    assert shown.status_code == 200
    assert shown.text.count("<iframe") == 4
    assert "data:image/png;base64," in shown.text
    assert "Ann &amp;lt;Lee" in shown.text
    assert saved(site, company).logo is None, "looking at it changes nothing"
    bookkeeper.get(path)
    assert upload(bookkeeper, path, path, texts, logo=png()).status_code == 200
    assert "Saved. It applies from the next email" in bookkeeper.page.text
    brand = saved(site, company)
    assert (brand.accent_colour, brand.signer_name) == ("#7a285a", "Ann <Lee>")
    assert brand.legal_footer == "Registered in England\n0123456"
    assert (brand.logo.width, brand.logo.height) == (480, 160)
    picture = bookkeeper.get(f"{path}/logo.png")
    assert (picture.content, picture.headers["Content-Type"]) == (brand.logo.content, "image/png")
    assert bookkeeper.get(f"{path}/portrait.png").status_code == 404
    bookkeeper.get(path)
    upload(bookkeeper, path, path, {"remove_logo": "yes"})
    assert saved(site, company).logo is None
    assert saved(site, company).signer_name == "Ann <Lee>", "what the form does not name stays"
    assert "bookkeeper@example.com changed how emails" in bookkeeper.get("/log").text


@pytest.mark.parametrize(
    ("fields", "file", "problem"),
    [
        ({"accent_colour": "#ffcc00"}, b"", "The nearest colour that can be read is #907300"),
        ({"links": "Terms ftp://x"}, b"", "is not a text and an https address"),
        ({"legal_footer": "Registered in England\n" + "x" * 201}, b"", "has 201 characters; a line has at most 200"),
        ({}, b"<svg onload='alert(1)'/>", "This is not a PNG or JPEG picture"),
        ({}, b"x" * (2 * 2**20 + 1), "larger than 2 MB"),
    ],
)
def test_what_cannot_be_saved_says_why_and_keeps_what_was_typed(
    site: Any, fields: dict[str, str], file: bytes, problem: str
) -> None:
    company = site.add_company("Small Works Ltd")
    path = f"/companies/{company}/brand"
    bookkeeper = site.sign_in("bookkeeper")
    for target in (path, f"{path}/email.html"):
        bookkeeper.get(path)
        shown = upload(
            bookkeeper, target, target, {"signature": "Typed text", **fields}, **({"logo": file} if file else {})
        )
        assert problem in unescape(shown.text)
        if target == path:
            assert shown.status_code == 422
            assert "Typed text" in shown.text
    assert saved(site, company).signature == ""


def test_two_who_change_a_brand_at_once_do_not_overwrite_each_other(site: Any) -> None:
    company = site.add_company("Small Works Ltd")
    path = f"/companies/{company}/brand"
    ann, ben = site.sign_in("bookkeeper"), site.sign_in("owner")
    ann.get(path)
    ben.get(path)
    upload(ben, path, path, {"signature": "Ben"})
    shown = upload(ann, path, path, {"signature": "Ann"})
    assert (shown.status_code, saved(site, company).signature) == (422, "Ben")
    assert "owner@example.com changed the brand after you opened this page" in shown.text
