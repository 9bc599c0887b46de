"""The bill of materials names every pinned package once, whole and well-formed, and what needs what."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

ROOT = Path(__file__).parents[2]
REF = {"type": "string", "pattern": r"^(duewell|pkg:pypi/[a-z0-9-]+@[0-9A-Za-z.+!_-]+)$"}
# What CycloneDX 1.6 asks of the parts that are used here.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["bomFormat", "specVersion", "components", "dependencies", "serialNumber", "version", "metadata"],
    "properties": {
        "$schema": {"const": "http://cyclonedx.org/schema/bom-1.6.schema.json"},
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "serialNumber": {
            "type": "string",
            "pattern": r"^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        },
        "version": {"const": 1},
        "metadata": {"type": "object", "required": ["component"]},
        "components": {
            "type": "array",
            "uniqueItems": True,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["type", "name", "version", "purl", "bom-ref", "hashes"],
                "properties": {
                    "type": {"enum": ["library"]},
                    "bom-ref": REF,
                    "purl": REF,
                    "name": {"type": "string", "minLength": 1},
                    "version": {"type": "string", "minLength": 1},
                    "scope": {"enum": ["required", "optional", "excluded"]},
                    "hashes": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "properties": {"alg": {"const": "SHA-256"}, "content": {"pattern": "^[0-9a-f]{64}$"}},
                            "required": ["alg", "content"],
                        },
                    },
                    "licenses": {"type": "array", "maxItems": 1},
                },
            },
        },
        "dependencies": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["ref"],
                "properties": {"ref": REF, "dependsOn": {"type": "array", "uniqueItems": True, "items": REF}},
            },
        },
    },
}


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "docs/sbom.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_the_bill_is_well_formed(bill: dict[str, Any]) -> None:
    jsonschema_rs.validator_for(SCHEMA).validate(bill)
    refs = [each["bom-ref"] for each in bill["components"]]
    assert len(refs) == len(set(refs))
    named = {ref for each in bill["dependencies"] for ref in (each["ref"], *each["dependsOn"])}
    assert named == {*refs, "duewell"}


def test_it_names_what_is_pinned_and_tells_apart_what_only_tests_need(bill: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {name.lower().replace("_", "-") for name in re.findall(r"(?m)^([\w.-]+)==", lock)}
    scopes = {each["name"]: each["scope"] for each in bill["components"]}
    assert set(scopes) == pinned
    assert {scopes[name] for name in ("requests", "webauthn", "cryptography", "urllib3", "starlette")} == {"required"}
    assert {scopes[name] for name in ("pytest", "ruff", "mypy", "playwright")} == {"excluded"}


def test_most_licences_are_known(bill: dict[str, Any]) -> None:
    without = [each["name"] for each in bill["components"] if "licenses" not in each and each["scope"] == "required"]
    assert len(without) < len(bill["components"]) / 4, without
