"""`make sbom` lists every installed package with its version, licence and dependencies, and nothing of this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document that the Makefile's own command writes."""
    target = tmp_path_factory.mktemp("sbom") / "sbom.json"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"\$\(BIN\)/cyclonedx-py (.+)", makefile)
    assert recipe is not None
    arguments = recipe[1].replace("$(VENV)", sys.prefix).replace("build/sbom.json", str(target)).split()
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *arguments], cwd=ROOT, check=True, capture_output=True)
    return dict(json.loads(target.read_text(encoding="utf-8")))


def test_the_sbom_lists_every_pinned_package_with_its_version(document: dict[str, Any]) -> None:
    pins = re.findall(r"(?m)^([\w.-]+)==(\S+) \\$", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    pinned = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in pins}
    listed = {(re.sub(r"[-_.]+", "-", each["name"]).lower(), each["version"]) for each in document["components"]}
    versions = dict(pinned)
    assert {(name, version) for name, version in listed if versions.get(name, version) != version} == set()
    assert {"requests", "sqlmodel", "xero-python", "cryptography"} <= {name for name, _version in listed}


def test_the_sbom_lists_dependencies(document: dict[str, Any]) -> None:
    root = document["metadata"]["component"]
    needs = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}
    assert root["name"] == "duewell"
    assert any(ref.startswith("sqlmodel==") for ref in needs[root["bom-ref"]])


def test_the_sbom_knows_most_licences(document: dict[str, Any]) -> None:
    without = [each["name"] for each in document["components"] if not each.get("licenses")]
    assert len(without) < len(document["components"]) / 10, without


def test_the_sbom_contains_no_local_paths(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert str(ROOT) not in text
    assert "file://" not in text
