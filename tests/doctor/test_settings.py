"""What the doctor says of settings alone."""

from pathlib import Path

import pytest

from app.commands.doctor.deployment import settings_check
from app.settings import load

WELL = {
    "GITHUB_APP_ID": "7",
    "GITHUB_PRIVATE_KEY": "a key",
    "GITHUB_WEBHOOK_SECRET": "s" * 32,
    "OPENAI_API_KEY": "sk-of-openai",
    "PUBLIC_URL": "https://bot.example",
}


async def said_of(folder: Path, **environ: str) -> list[str]:
    _, troubles = await settings_check(load(WELL | {"DATA_DIR": str(folder)} | environ))()
    return [f"{'! ' if trouble.is_warning else ''}{trouble.what}" for trouble in troubles]


async def test_of_good_settings_nothing_is_said(tmp_path: Path) -> None:
    assert await said_of(tmp_path) == []


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GITHUB_PRIVATE_KEY": ""}, ["Of the App this is missing: GITHUB_PRIVATE_KEY."]),
        (
            {"GITHUB_APP_ID": "", "GITHUB_PRIVATE_KEY": "", "GITHUB_WEBHOOK_SECRET": ""},
            ["There is no GitHub App yet."],
        ),
        ({"OPENAI_API_KEY": ""}, ["There is no model."]),
        ({"OPENAI_API_KEY": "", "OPENAI_BASE_URL": "http://localhost:11434/v1"}, []),
        (
            {"PUBLIC_URL": ""},
            ["! GitHub cannot reach http://127.0.0.1:8000, and the links in comments lead there."],
        ),
        ({"PUBLIC_URL": "http://bot.example"}, ["! http://bot.example is not encrypted."]),
        ({"API_TOKEN": "guess"}, ["! API_TOKEN is short enough to be guessed."]),
        ({"LINK_SECRET": "guess"}, ["! LINK_SECRET is short enough to be guessed."]),
    ],
)
async def test_what_is_missing_or_weak_is_named(tmp_path: Path, environ: dict[str, str], said: list[str]) -> None:
    assert await said_of(tmp_path, **environ) == said


async def test_keys_that_others_may_read_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "app.json").write_text("{}")
    (tmp_path / "app.json").chmod(0o644)
    assert await said_of(tmp_path) == [f"! Others on this machine may read {tmp_path / 'app.json'}."]
