"""The limits of the templates users write: they are filled with values, and they can do nothing else."""

from __future__ import annotations

import pytest

from connector.emails.layout import RenderError, render_line

VALUES = {"name": "Miller", "numbers": "INV-1 INV-2"}
RESOURCE_BOMBS = (
    "{% for i in range(100000000) %}x{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set ns = namespace(x='ab') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{{ 'a' * 1000000000 }}",
    "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}",
    "{{ 'x' | indent(1000000000) }}",
    "{{ range(1000000000) | list }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ '%1000000000d' | format(1) }}",
)
FORBIDDEN_SYNTAX = (
    "{{ name.__class__ }}", "{{ name.upper.__globals__ }}", "{{ self }}", "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}", "{{ cycler.__init__ }}", "{{ missing }}", "{{ name.nothing }}",
    "{% extends 'layout.txt' %}", "{% if " + "a " * 9000 + "!", "{% if " + "a" * 19_000,
    "{{ name | upper }}", "{{ name.upper() }}", "{{ name ~ name }}", "{{ 7 * 7 }}", "{# hidden #}",
    "{% if name | length %}x{% endif %}", "{% if name.upper() %}x{% endif %}", "{% set a = 1 %}", "{{", "{% if",
    "{{ name", "{% for n in numbers %}{{ n }}{% endfor %}",
    "x" * 20_001,
)  # fmt: skip


@pytest.mark.parametrize("template", RESOURCE_BOMBS)
def test_a_template_cannot_exhaust_the_machine(template: str) -> None:
    """Some of these once took seconds and gigabytes within a single step, and one of them the whole process."""
    with pytest.raises(RenderError):
        render_line(template, VALUES)


def test_a_template_is_filled() -> None:
    template = "Dear {{name}},{% if name == 'Miller' and not missing_is_fine %} again{%else%} hello{% endif -%}  !"
    assert render_line(template, {**VALUES, "missing_is_fine": ""}) == "Dear Miller, again!"


@pytest.mark.parametrize("template", FORBIDDEN_SYNTAX)
def test_a_template_reaches_nothing_but_its_values(template: str) -> None:
    with pytest.raises(RenderError) as rejected:
        render_line(template, VALUES)
    assert "Miller" not in str(rejected.value)
