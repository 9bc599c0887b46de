"""Every shape in which people write addresses into a ledger, and what is left of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.addresses import parse_addresses, parse_fields

SHAPES = {
    "ap@harbor.example": ["ap@harbor.example"],
    "Harbor AP <ap@harbor.example>": ["ap@harbor.example"],
    '"Lee, Ann" <ann@harbor.example>': ["ann@harbor.example"],
    "'ann@harbor.example'": ["ann@harbor.example"],
    "<ann@harbor.example>": ["ann@harbor.example"],
    "ann@harbor.example <ann@harbor.example>": ["ann@harbor.example"],
    "mailto:ann@harbor.example": ["ann@harbor.example"],
    "MAILTO:ann@harbor.example?subject=Invoice": ["ann@harbor.example"],
    "Email: ann@harbor.example": ["ann@harbor.example"],
    "ann@harbor.example.": ["ann@harbor.example"],
    "ann@harbor.example,": ["ann@harbor.example"],
    "ann@harbor.example (Ann, mornings (not Fridays))": ["ann@harbor.example"],
    "a@x.example;b@x.example": ["a@x.example", "b@x.example"],
    "a@x.example, b@x.example": ["a@x.example", "b@x.example"],
    "a@x.example|b@x.example": ["a@x.example", "b@x.example"],
    "a@x.example\r\nb@x.example\n": ["a@x.example", "b@x.example"],
    "a@x.example b@x.example": ["a@x.example", "b@x.example"],
    "a@x.example / b@x.example": ["a@x.example", "b@x.example"],
    "a@x.example and b@x.example": ["a@x.example", "b@x.example"],
    "Accounts: a@x.example, b@x.example;": ["a@x.example", "b@x.example"],
    "Ann <a@x.example>; Bo <b@x.example>": ["a@x.example", "b@x.example"],
    "Ann <a@x.example> Bo <b@x.example>": ["a@x.example", "b@x.example"],
    "Ann@X.Example; ann@x.example": ["Ann@x.example"],
    "a@x.example/b@x.example": ["a@x.example", "b@x.example"],
    '"a@x.example"': ["a@x.example"],
    "Ann Lee <a@x.example": ["a@x.example"],
    "[a@x.example](mailto:a@x.example)": ["a@x.example"],
    "ann @ x.example": ["ann@x.example"],
    "\u200bann@x.example\u00a0": ["ann@x.example"],
    "ann\uff20x.example": ["ann@x.example"],
    "kasse@m\u00fcller.example": ["kasse@xn--mller-kva.example"],
    "KASSE@M\u00dcLLER.example": ["KASSE@xn--mller-kva.example"],
    "o'neil+ap@x.example": ["o'neil+ap@x.example"],
    '"ann lee"@x.example': ['"ann lee"@x.example'],
    "ann\x00@x.example": ["ann@x.example"],
    "a@x.example:b@x.example": ["a@x.example", "b@x.example"],
    "Ann: a@x.example Bo: mailto:b@x.example": ["a@x.example", "b@x.example"],
    "a@x.example\u3001b@x.example": ["a@x.example", "b@x.example"],
    "a@x.example\uff0cb@x.example\uff1bc@x.example": ["a@x.example", "b@x.example", "c@x.example"],
    "Ann &lt;a@x.example&gt;": ["a@x.example"],
    "a&#64;x.example; b&amp;c@x.example": ["a@x.example", "b&c@x.example"],
    "a@x.example..": ["a@x.example"],
    ".a@x.example": ["a@x.example"],
    "\u00aba@x.example\u00bb": ["a@x.example"],
    "{a@x.example}\\": ["a@x.example"],
    "a@stra\u00dfe.example": ["a@xn--strae-oqa.example"],
    "a@mu\u0308ller.example": ["a@xn--mller-kva.example"],
    "a@x\u3002example": ["a@x.example"],
    "a@x.example<br>b@x.example<BR />c@x.example": ["a@x.example", "b@x.example", "c@x.example"],
    "&lt;p&gt;a@x.example&nbsp;&lt;/p&gt;": ["a@x.example"],
    "=?utf-8?q?Ann?= <a@x.example>": ["a@x.example"],
}
NONE = ["", " ", None, "n/a", "none", "ann", "ann@", "@x.example", "ann@localhost", "ann@x..example", "ann@1.2.3.4",
        "a b c", "ann@x_y.example", "ann..lee@x.example", "anné@x.example", "ann@-x.example", "ann.@x.example",
        "https://x.example/ann@x.example", "//ann@x.example", "ann@x.example-bo@y.example", "\U0001f600@x.example",
        "ann@[1.2.3.4]", "ann@x.example#", "stra\u00dfe@x.example", "ann (at) x.example", "ann@x .example",
        f"{'a' * 65}@x.example", f"a@{'x' * 64}.example", "\u00a0\u200b", ";;,|"]  # fmt: skip


@pytest.mark.parametrize(("text", "addresses"), SHAPES.items())
def test_an_address_is_found_in_whatever_shape_it_was_typed(text: str, addresses: list[str]) -> None:
    assert list(parse_addresses(text).valid) == addresses


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_address_is_none(text: str | None) -> None:
    assert not parse_addresses(text).valid


def test_one_that_is_none_does_not_lose_the_others_and_is_named() -> None:
    found = parse_addresses("ann@x.example; bo@x; cy@x.example")
    assert (found.valid, found.invalid) == (("ann@x.example", "cy@x.example"), ("bo@x",))


def test_several_fields_are_one_list() -> None:
    assert parse_fields(["a@x.example", None, "A@x.example; b@x.example"]).valid == ("a@x.example", "b@x.example")


@given(st.text(alphabet=st.sampled_from("ab@.;,|<>()\"' :\n\té\u200b\\")))
def test_any_text_is_read_and_reads_back_the_same(text: str) -> None:
    found = parse_addresses(text)
    assert all(each.isascii() and each.count("@") >= 1 and "," not in each.partition('"')[0] for each in found.valid)
    assert parse_addresses(found.joined).valid == found.valid or '"' in found.joined
