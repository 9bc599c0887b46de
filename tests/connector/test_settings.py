"""Settings: where they are read from, and that an invalid one is named in one line."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from connector.settings import SettingsError, load_settings, setting_names

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"
KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def _empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper() in setting_names() or name.upper().startswith("DUEWELL_"):
            monkeypatch.delenv(name)
    (tmp_path / "here").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_without_any_setting_everything_has_its_default(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.duewell_home == tmp_path / "data" / "duewell"
    assert settings.duewell_database_url == f"sqlite:///{tmp_path}/data/duewell/duewell.db"
    assert settings.duewell_base_url == "http://localhost:8710"
    assert settings.duewell_interval_minutes == 60
    assert settings.quickbooks_api_url == "https://quickbooks.api.intuit.com"
    assert settings.sendgrid_api_key == ""


def test_the_environment_overrides_env_files_and_the_local_one_that_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home" / ".env").write_text("MAIL_FROM_NAME=home\nMAIL_FROM=home@example.com\nXERO_CLIENT_ID=home\n")
    (tmp_path / "here" / ".env").write_text(f"DUEWELL_HOME={tmp_path}/home\nMAIL_FROM_NAME=here\nXERO_CLIENT_ID=here\n")
    monkeypatch.setenv("XERO_CLIENT_ID", "environment")
    settings = load_settings()
    assert settings.duewell_home == tmp_path / "home"
    assert (settings.xero_client_id, settings.mail_from_name, settings.mail_from) == (
        "environment", "here", "home@example.com",
    )  # fmt: skip
    assert load_settings(xero_client_id="given").xero_client_id == "given"


def test_an_empty_value_counts_as_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / ".env").write_text("DUEWELL_INTERVAL_MINUTES=\nQUICKBOOKS_API_URL=\n")
    monkeypatch.setenv("DUEWELL_BASE_URL", "")
    settings = load_settings()
    assert settings.duewell_interval_minutes == 60
    assert settings.duewell_base_url == "http://localhost:8710"
    assert settings.quickbooks_api_url == "https://quickbooks.api.intuit.com"


def test_the_quickbooks_environment_chooses_its_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKBOOKS_ENVIRONMENT", "sandbox")
    settings = load_settings()
    assert settings.quickbooks_api_url == "https://sandbox-quickbooks.api.intuit.com"
    assert settings.quickbooks_discovery_url.endswith("/openid_sandbox_configuration")
    assert load_settings(quickbooks_api_url="http://127.0.0.1:9/").quickbooks_api_url == "http://127.0.0.1:9"


def test_the_address_of_a_document_is_kept_exactly_as_given() -> None:
    """Intuit's own ends with a slash, and a server may answer 404 without it."""
    address = "https://discovery.example/openid_configuration/"
    assert load_settings(quickbooks_discovery_url=address).quickbooks_discovery_url == address


def test_the_database_path_can_be_relative_to_the_home() -> None:
    settings = load_settings(duewell_home="/x/y", duewell_database_url="sqlite:///$DUEWELL_HOME/other.db")
    assert settings.duewell_database_url == "sqlite:////x/y/other.db"


BAD = {
    "DUEWELL_INTERVAL_MINUTES": ["0", "often"],
    "DUEWELL_DATABASE_URL": ["mysql://host/db", "duewell.db", "sqlite://:memory"],
    "DUEWELL_SECRET_KEYS": ["c2hvcnQ=", KEY + ",no", "äöü"],
    "DUEWELL_BASE_URL": ["localhost:8710", "ftp://x", "http://user:pw@host"],
    "XERO_API_URL": ["https://api.xero.com/api.xro/2.0", "api.xero.com", "http://api.xero.com"],
    "QUICKBOOKS_API_URL": ["https://x.example/v3"],
    "QUICKBOOKS_DISCOVERY_URL": ["http://elsewhere.example/doc"],
    "QUICKBOOKS_ENVIRONMENT": ["staging"],
    "SENDGRID_API_URL": ["https://api.sendgrid.com?x=1"],
    "SENDGRID_API_KEY": ["SG.one\nX-Header: two"],
    "SMTP_URL": ["http://host", "smtp:///nohost"],
    "MAIL_FROM": ["nobody", "a@b, c@d", "a b@example.com"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_an_invalid_value_stops_the_start_with_one_line_that_names_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    said = str(refused.value)
    assert said.startswith(f"{name}: ")
    assert "\n" not in said
    assert value not in said  # it may be a secret


def test_an_unknown_duewell_setting_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / ".env").write_text("DUEWELL_INTERVAL=5\nSOMETHING_ELSE=1\n")
    with pytest.raises(SettingsError, match=r"^DUEWELL_INTERVAL \(in \.env\) is not a setting of duewell$"):
        load_settings()
    (tmp_path / "here" / ".env").unlink()
    monkeypatch.setenv("DUEWELL_HOMME", "/x")
    with pytest.raises(SettingsError, match="DUEWELL_HOMME"):
        load_settings()
    monkeypatch.delenv("DUEWELL_HOMME")
    with pytest.raises(SettingsError, match="SENDGRIT"):
        load_settings(sendgrit="1")


def test_secrets_are_not_shown() -> None:
    settings = load_settings(sendgrid_api_key="SG.hidden", xero_client_secret="hidden", smtp_url="smtp://u:hidden@h")
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_settings_that_others_can_read_or_change_give_a_warning_and_are_refused_on_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    file = tmp_path / "here" / ".env"
    file.write_text("XERO_CLIENT_SECRET=s3cret\n", encoding="utf-8")
    file.chmod(mode)
    for _start in range(2):
        caplog.clear()
        load_settings()
        assert [record.getMessage() for record in caplog.records] == [
            f"other users of this machine can read {file}; fix it with: chmod 600 '{file}'"
        ]
    monkeypatch.setenv("DUEWELL_STRICT", "1")
    with pytest.raises(SettingsError, match="chmod 600"):
        load_settings()
    file.chmod(0o600)
    caplog.clear()
    assert load_settings().xero_client_secret == "s3cret"
    assert caplog.records == []


def test_settings_of_another_user_are_not_taken_silently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / ".env").write_text("XERO_LOGIN_URL=https://login.example\n", encoding="utf-8")
    (tmp_path / "here" / ".env").chmod(0o600)
    owner = (tmp_path / "here" / ".env").stat().st_uid
    monkeypatch.setattr("connector.settings._trusted_users", lambda: {owner + 1})
    load_settings()
    assert "belongs to another user" in caplog.text


def test_an_unencrypted_line_to_a_database_server_gives_a_warning_and_is_refused_on_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for safe in ("db.example/d?sslmode=verify-full", "db.example/d?sslmode=require", "localhost/d", "/d?host=/run/pg"):
        load_settings(duewell_database_url=f"postgresql+psycopg://u:pw@{safe}", duewell_strict="1")
    assert caplog.records == []
    for unsafe in ("db.example/d", "10.0.0.7/d?sslmode=prefer"):
        caplog.clear()
        url = f"postgresql+psycopg://u:pw@{unsafe}"
        load_settings(duewell_database_url=url)
        assert ("sslmode=verify-full" in caplog.text, "pw" in caplog.text) == (True, False)
        with pytest.raises(SettingsError, match="unencrypted"):
            load_settings(duewell_database_url=url, duewell_strict="1")


def test_the_example_has_every_setting_with_a_comment() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    named = {line.partition("=")[0]: number for number, line in enumerate(lines) if line and not line.startswith("#")}
    assert sorted(named) == sorted(setting_names())
    for name, number in named.items():
        assert lines[number - 1].startswith("# "), f"{name} has no comment"


def test_the_example_changes_no_default(tmp_path: Path) -> None:
    plain = load_settings()
    (tmp_path / "here" / ".env").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_settings() == plain


def test_the_example_shows_every_fixed_default() -> None:
    shown = dict(
        line.split("=", 1)
        for line in EXAMPLE.read_text(encoding="utf-8").splitlines()
        if "=" in line and not line.startswith("#")
    )
    chosen_by_another = {"DUEWELL_HOME", "DUEWELL_DATABASE_URL", "QUICKBOOKS_DISCOVERY_URL", "QUICKBOOKS_API_URL"}
    for name, value in load_settings().model_dump().items():
        if name.upper() not in chosen_by_another:
            assert shown[name.upper()] == ("" if value is None else str(value))
