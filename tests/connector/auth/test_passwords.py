"""Passwords: common and personal ones are rejected with whatever is added to them; all others are accepted."""

from __future__ import annotations

import pytest

from connector.auth import passwords
from connector.auth.passwords import WeakPasswordError, hash_password, verify_password

AS_SHIPPED = passwords._HASHER  # the tests use a cheaper one

GUESSED = (
    "password1234", "P@ssw0rd2024!", "123456789012", "qwertyuiop123", "1q2w3e4r5t6y", "1qaz2wsx3edc", "zaq12wsxcde3",
    "iloveyou1234", "administrator1", "abcdefghijkl", "letmeinletmein", "abc123abc123", "qwertyqwerty", "Summer2026!!!",
    "duewell12345", "QuickBooks2026", "bookkeeper123", "ann.lee.ann.lee", "example12345", "asdfghjkl;'1",
    "111111111111", "987654321987", "football2024", "Passwort12345",
    "Bienvenue2026", "ichliebedich1", "Contraseña2026", "correcthorsebatterystaple",
)  # fmt: skip


@pytest.mark.parametrize("password", GUESSED)
def test_common_passwords_are_rejected(password: str) -> None:
    with pytest.raises(WeakPasswordError, match="easily guessed"):
        hash_password(password, "ann.lee@example.com")


@pytest.mark.parametrize("password", ["Larkspur-Field-26", "leeannlarkspur", "FIELD_services_1!"])
def test_names_of_the_user_and_their_companies_are_rejected(password: str) -> None:
    names = ["Ann Lee", "Larkspur Field Services LLC"]
    with pytest.raises(WeakPasswordError, match="easily guessed"):
        hash_password(password, "al@example.com", names)


@pytest.mark.parametrize(("length", "allowed"), [(11, 12), (257, 256)])
def test_a_password_has_a_minimum_and_a_maximum_length(length: int, allowed: int) -> None:
    words = "quince jug, the brown fox jumps" * 20
    with pytest.raises(WeakPasswordError, match="of 12 to 256 characters"):
        hash_password(words[:length])
    assert verify_password(words[:allowed], hash_password(words[:allowed]))


def test_any_other_password_is_accepted_letter_by_letter() -> None:
    for password in (
        "correct horse battery staple",
        "ölfarbe und käse 🧀 im schrank",
        "quince jug\n1985\nof clay",
        "x7#Kp!vQ9z@L",
        "x7#Kp!vQ9z@L" + "w" * 200,
    ):
        hashed = hash_password(password)
        assert verify_password(password, hashed)
        assert not verify_password(password.swapcase(), hashed)
        assert not verify_password(password + " ", hashed)


def test_passwords_are_hashed_at_the_cost_that_rfc_9106_recommends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", AS_SHIPPED)
    hashed = hash_password("correct horse battery staple")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert verify_password("correct horse battery staple", hashed)
