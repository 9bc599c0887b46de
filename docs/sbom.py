"""Writes the list of everything that is installed with duewell (CycloneDX 1.6, JSON), from the pinned dependencies.

The same lock gives the same file, byte by byte. Licences and who needs whom come from what is installed.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import uuid
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
_PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill(lock: str, project: dict[str, Any]) -> dict[str, Any]:
    """Make the document of a lock's text and the project's table."""
    pinned = dict(_pinned(lock))
    own = project["project"]
    direct = _names(own["dependencies"], pinned)
    needed = _reached(direct, pinned)
    root = {"type": "application", "bom-ref": "duewell", "name": own["name"], "version": own["version"]}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, lock)}",
        "version": 1,
        "metadata": {"component": root, "lifecycles": [{"phase": "build"}]},
        "components": [
            _component(name, version, hashes, needed=name in needed)
            for name, (version, hashes) in sorted(pinned.items())
        ],
        "dependencies": [
            {"ref": "duewell", "dependsOn": sorted(_ref(name, pinned) for name in direct)},
            *(
                {"ref": _ref(name, pinned), "dependsOn": sorted(_ref(each, pinned) for each in _needs(name, pinned))}
                for name in sorted(pinned)
            ),
        ],
    }


def _pinned(lock: str) -> dict[str, tuple[str, list[str]]]:
    entries = re.split(r"(?m)^(?=[\w.-]+==)", lock)[1:]
    found = ((_PIN.match(entry), _HASH.findall(entry)) for entry in entries)
    return {canonicalize_name(pin[1]): (pin[2], sorted(hashes)) for pin, hashes in found if pin}


def _component(name: str, version: str, hashes: list[str], *, needed: bool) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "scope": "required" if needed else "excluded",  # excluded: for building and testing alone
        "purl": purl,
        # one for each file the index offers of this version; whichever is installed is one of them
        "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
    }
    licence = _licence(name)
    return made | ({"licenses": [licence]} if licence else {})


def _licence(name: str) -> dict[str, Any] | None:
    found = _installed(name)
    if found is None:
        return None
    if "License-Expression" in found.metadata:
        return {"expression": found.metadata["License-Expression"]}
    said = [each for each in found.metadata.get_all("Classifier") or [] if each.startswith("License ::")]
    return {"license": {"name": said[0].rpartition(" :: ")[2]}} if said else None


def _needs(name: str, pinned: dict[str, Any]) -> set[str]:
    found = _installed(name)
    return _names(found.requires or [], pinned) - {name} if found else set()


def _names(requirements: list[str], pinned: dict[str, Any]) -> set[str]:
    wanted = [Requirement(each) for each in requirements]
    met = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return {str(canonicalize_name(each.name)) for each in met} & set(pinned)


def _reached(names: set[str], pinned: dict[str, Any]) -> set[str]:
    reached, waiting = set[str](), set(names)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= _needs(name, pinned) - reached
    return reached


def _ref(name: str, pinned: dict[str, tuple[str, list[str]]]) -> str:
    return f"pkg:pypi/{name}@{pinned[name][0]}"


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:  # for another system than this one
        return None


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    document = bill((ROOT / "requirements.lock").read_text(encoding="utf-8"), project)
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
