"""What users install: the wheel works in an environment without the sources, and the deploy files keep their rules."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from connector.cli.demo import last_weekday_afternoon
from connector.settings import setting_names
from tests.project.test_docs import problem_with

ROOT = Path(__file__).parents[2]
PACKAGES = ("connector", "providers", "policies", "migrations", "sandbox")
ONLY_THIS_MACHINE = """
import socket
connect = socket.socket.connect
def guarded(self, address):
    if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1", "localhost"}:
        raise OSError(f"the test allows no network: {address}")
    return connect(self, address)
socket.socket.connect = guarded
"""


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def copied() -> list[str]:
    """Return what the Dockerfile takes from the sources."""
    lines = [rest.split() for name, rest in instructions() if name == "COPY" and not rest.startswith("--from")]
    return [source for line in lines for source in line[:-1]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel made from it, built by the commands of `make dist` from what the Dockerfile copies."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    source.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    build = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (sdist,) = (source / "dist").glob("*.tar.gz")
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(sdist))
    (wheel,) = folder.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, capture_output=True, text=True, env=kept, cwd="/")


@pytest.fixture(scope="module")
def environment(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a new virtual environment that holds the wheel and, from the tests', the dependencies.

    The sources are not on its path, and it reaches no other machine.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip("--python", str(folder / "bin/python"), "install", "--no-deps", "--no-index", str(built["wheel"]))
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))  # a path only: it runs no other .pth
    (packages / "sitecustomize.py").write_text(ONLY_THIS_MACHINE)
    return folder / "bin"


def run(environment: Path, folder: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", *setting_names()}}
    return subprocess.run(
        [str(environment / words[0]), *words[1:]],
        cwd=folder,
        env={**kept, "DUEWELL_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **more,
    )


def test_wheel_and_sdist_hold_every_file_of_the_packages_and_nothing_else(built: dict[str, Path]) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    inside = zipfile.ZipFile(built["wheel"]).namelist()
    in_wheel = {name for name in inside if ".dist-info/" not in name and ".data/" not in name}
    assert in_wheel == wanted
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    beside = {name for name in names - wanted - guides() if not name.startswith("duewell.egg-info/")}
    assert beside == {"LICENSE", "PKG-INFO", "pyproject.toml", "setup.cfg"}
    assert wanted <= names


def guides() -> set[str]:
    """Return the files that whoever installs the wheel reads or copies."""
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/pictures/*.png"), *ROOT.glob("deploy/*")]
    return {"README.md", "CHANGELOG.md", ".env.example", *(str(page.relative_to(ROOT)) for page in pages)}


def test_the_guides_are_installed_and_named_where_somebody_needs_them(environment: Path, tmp_path: Path) -> None:
    folder = environment.parent / "share/doc/duewell"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == guides()
    assert str(folder) in "".join(run(environment, tmp_path, "duewell", "--help").stdout.split())
    refused = run(environment, tmp_path, "duewell", "connect", "xero")
    assert f"{folder}/docs/connect-xero.md" in refused.stderr


def test_the_wheel_plays_the_demo_in_an_empty_environment_from_another_folder(
    environment: Path, tmp_path: Path
) -> None:
    where = run(environment, tmp_path, "python", "-c", "import connector; print(connector.__file__)")
    assert where.stdout.startswith(str(environment.parent))
    played = run(environment, tmp_path, "duewell", "demo", "--once", "--days", "0")
    assert played.returncode == 0, played.stderr
    assert "emails and 0 late fees" in played.stdout


def test_the_demo_opens_the_web_app_at_once_and_shows_the_portal_when_its_days_are_played(
    environment: Path, tmp_path: Path, unused_port: int
) -> None:
    words = ["demo", "--no-browser", "--days", "0", "--port", str(unused_port)]
    process = subprocess.Popen(
        [str(environment / "duewell"), *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        shown = next(
            found for line in process.stdout if (found := re.search(r"http://localhost\S+/welcome/[\w-]+", line))
        )
        page = requests.get(shown.group(), timeout=30)
        assert "Demo with simulated services." in page.text
        assert "/emails" not in page.text  # the first syncs have not ended yet
        portal = next(line.rpartition(": ")[2].strip() for line in process.stdout if "Customer portal of" in line)
        assert "Your invoices from" in requests.get(portal, timeout=30).text
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()


@pytest.mark.parametrize("day", range(23, 30))
def test_the_demos_last_day_is_one_on_which_emails_are_delivered(day: int) -> None:
    """Also on a Saturday or Sunday, and before the afternoon."""
    for hour in (2, 16):
        last = last_weekday_afternoon(datetime(2026, 11, day, hour, tzinfo=UTC))
        assert last.isoweekday() <= 5
        assert last.hour == 15
        assert last <= datetime(2026, 11, day, hour, tzinfo=UTC)


def test_an_installed_server_answers_the_containers_health_check(
    environment: Path, tmp_path: Path, unused_port: int
) -> None:
    (check,) = [rest for name, rest in instructions() if name == "HEALTHCHECK"]
    words = yaml.safe_load(check.partition(" CMD ")[2])
    (serve,) = [yaml.safe_load(rest) for name, rest in instructions() if name == "CMD"]
    process = subprocess.Popen(
        [str(environment / "duewell"), *(str(unused_port) if word == "8710" else word for word in serve)],
        cwd=tmp_path,
        env={**os.environ, "DUEWELL_HOME": str(tmp_path / "home"), "PYTHONPATH": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        assert "running at" in process.stderr.readline()
        healthy = False
        for _ in range(50):
            code = [word.replace("8710", str(unused_port)) for word in words[1:]]
            answer = run(environment, tmp_path, "python", *code)
            healthy = answer.returncode == 0
            if healthy:
                break
            time.sleep(0.1)
        assert healthy, answer.stderr
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_constraints_are_the_lock_without_hashes_and_extras() -> None:
    lock = re.findall(r"(?m)^([\w.-]+)(?:\[[^]]*\])?(==[^\\\n]*?) *\\?$", (ROOT / "requirements.lock").read_text())
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines == [name + version for name, version in lock]
    assert not re.search(r"://|--|\[", "\n".join(lines))


def test_the_image_runs_as_its_own_user_with_a_health_check_and_pinned_parts() -> None:
    found = instructions()
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
    assert {name for name, _ in found} <= known | {"ENTRYPOINT", "CMD"}  # no ADD, no ARG that could carry a key
    bases = [rest.split()[0] for name, rest in found if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.\d+-slim", base) for base in bases)
    assert [rest for name, rest in found if name == "USER"][-1] == "10001:10001"
    assert [rest for name, rest in found if name == "VOLUME"] == ["/data"]
    runs = [rest for name, rest in found if name == "RUN"]
    assert all("--no-cache-dir" in each for each in runs if " pip " in each)
    assert any("--constraint constraints.txt" in each for each in runs)
    assert not any(word in each for each in runs for word in ("sudo", "curl", "apt-get upgrade"))
    order = [name for name, _ in found]
    owner = next(index for index, (name, rest) in enumerate(found) if name == "RUN" and "--owner duewell" in rest)
    assert owner < order.index("VOLUME")  # what changes a volume's folder after VOLUME is lost
    for name, rest in found:
        if name in {"ENTRYPOINT", "CMD"}:
            assert isinstance(yaml.safe_load(rest), list), "a shell would keep signals from duewell"
    (command,) = [yaml.safe_load(rest) for name, rest in found if name == "CMD"]
    assert problem_with(command) == ""


def test_the_image_is_built_from_what_exists_and_never_from_keys() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied())
    assert {"**/.env", "**/*.db"} <= set(ignored[ignored.index("!sandbox") :])
    assert [name for name in copied() if not (ROOT / name).exists()] == []


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return document


def test_compose_starts_sqlite_alone_and_with_its_profile_postgresql_and_workers(compose: dict[str, Any]) -> None:
    services = compose["services"]
    profiles = {name: service.get("profiles", []) for name, service in services.items()}
    assert profiles == {"upgrade": [], "web": [], "worker": ["postgresql"], "database": ["postgresql"]}
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["upgrade"]["depends_on"]["database"]["required"] is False
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services
            # a service that is always there may not need one of a profile
            assert set(profiles[needed]) <= set(profiles[name]) or how.get("required") is False
            if how["condition"] == "service_healthy":
                assert services[needed].get("healthcheck", {}).get("disable") is not True
        assert {each.partition(":")[0] for each in service["volumes"]} <= set(compose["volumes"])
    schema = {"build", "image", "init", "read_only", "cap_drop", "security_opt", "tmpfs", "env_file", "volumes"}
    schema |= {"restart", "stop_grace_period", "command", "healthcheck", "depends_on", "ports", "profiles", "deploy"}
    assert {key for service in services.values() for key in service} <= schema | {"environment"}


def test_compose_runs_duewell_without_rights_reachable_from_this_machine_only(compose: dict[str, Any]) -> None:
    for name in ("upgrade", "web", "worker"):
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert problem_with(service.get("command", [])) == ""
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8710:8710"]
    assert re.fullmatch(r"postgres:\d+-alpine", compose["services"]["database"]["image"])
    assert compose["services"]["database"]["environment"]["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:-}"


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "deploy/duewell.service")
    return parser["Service"]


def test_the_systemd_unit_is_hardened_and_runs_a_command_that_exists() -> None:
    service = unit()
    assert service["ProtectSystem"] == "strict"
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "MemoryDenyWriteExecute"):
        assert service[name] == "yes"
    assert service["User"] != "root"
    assert service["StateDirectory"] == "duewell"
    assert service["Environment"] == "DUEWELL_HOME=/var/lib/duewell"
    assert problem_with(shlex.split(service["ExecStart"])[1:]) == ""


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_accepts_the_unit_and_finds_little_exposed(tmp_path: Path) -> None:
    text = (ROOT / "deploy/duewell.service").read_text().replace("/opt/duewell/bin/duewell", sys.executable)
    file = tmp_path / "duewell.service"
    file.write_text(text)
    checked = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert [line for line in checked.stderr.splitlines() if "duewell.service" in line] == []
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout[-300:]
