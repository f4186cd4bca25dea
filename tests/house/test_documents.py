"""What is written for people agrees with the code."""

import re
from pathlib import Path

import pytest
from jinja2 import Environment, meta

from app.core.inbound.commands import COMMANDS, parse
from app.core.run.job import UNSAID, Verb
from app.settings import show_table
from app.text.comment import render_help
from app.text.render import FILTERS

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "app" / "text" / "templates"


def test_the_readme_lists_the_settings_as_they_are() -> None:
    assert show_table() in (ROOT / "README.md").read_text("utf-8")


def test_the_readme_lists_the_commands_as_they_are() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [row.usage for row in COMMANDS if f"`{row.usage}`" not in readme] == []


def test_contributing_names_files_that_there_are() -> None:
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)+(?:\.\w+|/)?)`", text)
    assert len(named) > 50
    assert [path for path in named if not any((folder / path).exists() for folder in (ROOT, ROOT / "app"))] == []


def test_the_help_names_every_command() -> None:
    described = {row.verb for row in COMMANDS}
    assert described == set(Verb) - UNSAID
    assert all(f"`{row.usage}`" in render_help() for row in COMMANDS)


def test_every_command_is_read_as_its_help_writes_it() -> None:
    for row in COMMANDS:
        command = parse(row.usage.replace("[options] ", "").replace("[instruction]", "Mend it"))
        assert command is not None
        assert command.verb is row.verb


def test_every_template_says_what_it_is_for_and_names_its_variables() -> None:
    environment = Environment(autoescape=True)
    for path in sorted(TEMPLATES.rglob("*.j2")):
        source = path.read_text("utf-8")
        header = re.match(r"\{#-?(.+?)-?#\}", source, re.DOTALL)
        assert header, path
        unnamed = {
            name
            for name in meta.find_undeclared_variables(environment.parse(_without_filters(source)))
            if name not in _given(source) and not re.search(rf"\b{name}\b", header[1])
        }
        assert unnamed == set(), path


def _given(source: str) -> set[str]:
    """The names a template gives itself, which count as undeclared inside its blocks."""
    given = re.findall(r"\{%-? (?:set|import \S+ as|for) ([\w, ]+?) ?(?:=|in\b|%\}|-%\})", source)
    return {name.strip() for names in given for name in names.split(",")}


def _without_filters(source: str) -> str:
    """Our own filters are not known to a bare environment."""
    names = [*FILTERS, "money", "spent", "last_lines", "duration", "percent", "ago", "at", "time", "clock"]
    return re.sub(rf"\|\s*({'|'.join(names)})\b(\([^)]*\))?", "", source)


def test_procfile_and_compose_start_the_command_that_there_is() -> None:
    assert (ROOT / "Procfile").read_text("utf-8") == "web: vibecoder web\nworker: vibecoder worker\n"
    compose = (ROOT / "deploy" / "compose.yml").read_text("utf-8")
    assert re.findall(r'command: \["vibecoder", "(\w+)"\]', compose) == ["web", "worker"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_names_no_host_and_hashes_everything(name: str) -> None:
    lock = (ROOT / name).read_text("utf-8")
    assert "://" not in lock
    assert not re.search(r"(?m)^-", lock)
    pinned = re.findall(r"(?m)^[a-z0-9][^\n]*==[^\n]*(?:\n[^\n]*)?", lock)
    assert pinned
    assert all("--hash=sha256:" in each for each in pinned)


def test_what_runs_is_what_was_developed_with_and_nothing_more() -> None:
    running, developing = (
        set(re.findall(r"(?m)^[a-z0-9][^ \n]*==[^ \n]*", (ROOT / name).read_text("utf-8")))
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert running < developing
    assert not [each for each in running if re.match("(pytest|mypy|ruff|hypothesis|hatchling|respx)", each)]
