from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.errors import UserError
from app.settings import APP_FILE, Settings, keep_app, load


def test_without_an_environment_everything_has_its_default() -> None:
    settings = load({})
    assert settings.port == 8000
    assert settings.redis_url == ""
    assert settings.webhook_secrets == ()


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret-value\n")
    assert load({"OPENAI_API_KEY_FILE": str(key)}).openai_api_key.get_secret_value() == "s3cret-value"


def test_secrets_are_not_shown() -> None:
    settings = load({"OPENAI_API_KEY": "s3cret-value", "GITHUB_WEBHOOK_SECRET": "another"})
    assert "s3cret-value" not in repr(settings)
    assert [secret.get_secret_value() for secret in settings.webhook_secrets] == ["another"]


def test_what_set_up_keeps_is_found_again_and_the_environment_goes_before_it(tmp_path: Path) -> None:
    environ = {"DATA_DIR": str(tmp_path / "data")}
    keep_app(load(environ), {"GITHUB_APP_ID": "7", "GITHUB_WEBHOOK_SECRET": "s3cret"})
    assert load(environ).github_app_id == "7"
    assert load({**environ, "GITHUB_APP_ID": "8"}).github_app_id == "8"
    assert (tmp_path / "data" / APP_FILE).stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_of_the_app_is_named(tmp_path: Path) -> None:
    (tmp_path / APP_FILE).write_text("{")
    with pytest.raises(UserError, match="Delete it and set the App up again"):
        load({"DATA_DIR": str(tmp_path)})


def test_every_fault_is_named_at_once() -> None:
    environ = {"PORT": "http", "SANDBOX": "docker", "MAX_USD": "nan", "SANDBOX_SHARE_NETWORK": "maybe"}
    with pytest.raises(UserError) as caught:
        load({**environ, "GITHUB_PRIVATE_KEY_FILE": "/nowhere/key.pem"})
    faults = str(caught.value).splitlines()
    assert [fault.partition(":")[0] for fault in faults] == [
        "GITHUB_PRIVATE_KEY",
        "SANDBOX",
        "SANDBOX_SHARE_NETWORK",
        "MAX_USD",
        "PORT",
    ]


def test_proxies_are_addresses_and_networks() -> None:
    trusted = load({"TRUSTED_PROXIES": "10.0.0.1, 192.168.0.0/16,fd00::/8"}).trusted_proxies
    assert [str(each) for each in trusted] == ["10.0.0.1/32", "192.168.0.0/16", "fd00::/8"]
    assert load({}).trusted_proxies == ()


@pytest.mark.parametrize("proxies", ["*", "0.0.0.0/0", "::/0", "proxy.internal", "10.0.0.1/8", "10.0.0.1,,", "10.0.0"])
def test_who_cannot_be_a_proxy_is_refused(proxies: str) -> None:
    with pytest.raises(UserError, match="TRUSTED_PROXIES"):
        load({"TRUSTED_PROXIES": proxies})


def test_no_secret_is_in_what_settings_print() -> None:
    environ = {field.name.upper(): f"s3cret-{field.name}" for field in fields(Settings) if field.type is SecretStr}
    settings = load({**environ, "REDIS_URL": "redis://bot:s3cret%2Fredis@127.0.0.1:6379/0"})
    assert "s3cret" not in repr(settings)
    assert {secret.get_secret_value() for secret in settings.secrets} == {*environ.values(), "s3cret/redis"}


def test_web_is_not_told_the_private_key() -> None:
    settings = load({"GITHUB_PRIVATE_KEY": "s3cret-key", "GITHUB_WEBHOOK_SECRET": "s3cret-hook"}).without_private_key()
    assert settings.github_private_key.get_secret_value() == ""
    assert settings.github_webhook_secret.get_secret_value() == "s3cret-hook"
