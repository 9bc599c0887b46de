"""Changes that cannot be made are answered with the reason, not as a fault: brand and bank details."""

from __future__ import annotations

import base64

from connector.branding.pictures import UPLOAD_BYTES_MAX
from tests.connector.api_clients import Scenario

LARGEST = base64.b64encode(bytes(UPLOAD_BYTES_MAX)).decode()  # as large as the web app takes a picture


def test_a_change_that_is_not_possible_says_why(scenario: Scenario) -> None:
    client, path = scenario.client(), "/connections/north-ltd"
    account = {"payee": "North GmbH", "iban": "DE89370400440532013000"}
    pounds = {"payee": "North Ltd", "bank_code": "123456", "account_number": "12345678"}
    assert client.request("PUT", f"{path}/bank-details/EUR", account).status_code == 200
    assert client.request("PUT", f"{path}/bank-details/GBP", pounds).json()["state"] == "waiting"
    for method, place, body, status, reason in (
        ("PUT", "bank-details/EUR", account, 409, "This account is in use already."),
        ("PUT", "bank-details/GBP", pounds, 409, "is waiting already. Cancel it first."),
        ("PATCH", "brand", {"logo": "%%%"}, 422, "logo: a picture has to be base64."),
        ("PATCH", "brand", {"portrait": "ü"}, 422, "portrait: a picture has to be base64."),
        ("PATCH", "brand", {"logo": LARGEST, "portrait": LARGEST}, 422, "This is not a PNG or JPEG picture."),
        ("PATCH", "brand", {"logo": f"{LARGEST}AAAAAAAA"}, 422, ""),
    ):
        answer = client.request(method, f"{path}/{place}", body)
        assert (answer.status_code, reason in answer.json()["detail"]) == (status, True), answer.text


def test_a_brand_that_is_as_before_is_not_logged_as_changed(scenario: Scenario) -> None:
    client = scenario.client()
    for body in ({}, {"accent_colour": "#0b5fa5"}):
        assert "set_by" not in client.request("PATCH", "/connections/north-ltd/brand", body).json()
    assert client.request("PATCH", "/connections/north-ltd/brand", {"signature": "Ann"}).json()["set_by"]
