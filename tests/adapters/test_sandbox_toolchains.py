"""The user's tools are shown, their home and their credentials are not."""

import sys
from pathlib import Path

import pytest

from app.adapters.sandbox.toolchains import host_toolchains, manager_homes


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home" / "ada"
    for folder in (".pyenv/shims", ".pyenv/versions", ".cargo/bin", ".rustup/toolchains", ".ssh", "projects/bin"):
        (home / folder).mkdir(parents=True)
    (home / ".cargo" / "credentials.toml").touch()
    (home / ".rustup" / "settings.toml").touch()
    return home


def shown(path: Path, read_only: tuple[Path, ...]) -> bool:
    return any(path == root or root in path.parents for root in read_only)


def test_version_managers_are_shown_without_what_is_secret(home: Path) -> None:
    _, read_only = host_toolchains(f"{home}/.cargo/bin:{home}/.pyenv/shims", home)
    assert shown(home / ".cargo/bin/cargo", read_only)
    assert shown(home / ".pyenv/versions/3.12", read_only)
    assert shown(home / ".rustup/toolchains", read_only)
    for secret in (".cargo/credentials.toml", ".ssh/id_ed25519", ".gitconfig", ".rustup/other"):
        assert not shown(home / secret, read_only)


@pytest.mark.parametrize("entry", ["{home}", "{home}/..", "/", "", "relative/bin", "."])
def test_an_odd_path_entry_never_shows_the_home(home: Path, entry: str) -> None:
    path, read_only = host_toolchains(entry.format(home=home), home)
    assert not shown(home / ".ssh", read_only)
    assert entry.format(home=home) not in path or entry == "{home}/.."


def test_a_folder_of_the_home_shows_only_its_programs(home: Path) -> None:
    _, read_only = host_toolchains(f"{home}/projects/bin", home)
    assert shown(home / "projects/bin", read_only)
    assert not shown(home / "projects/plans.txt", read_only)


def test_a_tool_outside_the_home_is_shown_whole(home: Path, tmp_path: Path) -> None:
    (tmp_path / "opt/go/bin").mkdir(parents=True)
    _, read_only = host_toolchains(f"{tmp_path}/opt/go/bin", home)
    assert shown(tmp_path / "opt/go/src", read_only)


def test_our_own_interpreter_is_the_last_choice(home: Path) -> None:
    ours = str(Path(sys.prefix, "bin"))
    path, _ = host_toolchains(f"{ours}:{home}/.cargo/bin:/usr/bin", home)
    assert path[0] == f"{home}/.cargo/bin"
    assert path[-1] == ours
    assert len(set(path)) == len(path)


def test_managers_are_told_where_they_live(home: Path) -> None:
    _, read_only = host_toolchains("/usr/bin", home)
    assert manager_homes(read_only) == {"RUSTUP_HOME": f"{home}/.rustup"}
