"""The user's tools are shown; their home, their credentials and the deployment's keys are not."""

import os
import sys
from pathlib import Path

import pytest

from app.adapters.sandbox.local import bubblewrap
from app.adapters.sandbox.local.exposure import exposed, masks
from app.adapters.sandbox.local.toolchains import Toolchains, host_toolchains, manager_homes


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home" / "ada"
    for folder in (".pyenv/shims", ".pyenv/versions", ".cargo/bin", ".rustup/toolchains", ".ssh", "projects/bin"):
        (home / folder).mkdir(parents=True)
    (home / ".cargo" / "credentials.toml").touch()
    (home / ".rustup" / "settings.toml").touch()
    return home


def shown(path: Path, tools: Toolchains) -> bool:
    return any(path.is_relative_to(root) for root in tools.read_only)


def test_version_managers_are_shown_without_what_is_secret(home: Path) -> None:
    tools = host_toolchains(f"{home}/.cargo/bin:{home}/.pyenv/shims", home)
    assert shown(home / ".cargo/bin/cargo", tools)
    assert shown(home / ".pyenv/versions/3.12", tools)
    assert shown(home / ".rustup/toolchains", tools)
    for secret in (".cargo/credentials.toml", ".ssh/id_ed25519", ".gitconfig", ".rustup/other"):
        assert not shown(home / secret, tools)


@pytest.mark.parametrize("entry", ["{home}", "{home}/..", "/", "", "relative/bin", "."])
def test_an_odd_path_entry_never_shows_the_home(home: Path, entry: str) -> None:
    tools = host_toolchains(entry.format(home=home), home)
    assert not shown(home / ".ssh", tools)
    assert entry.format(home=home) not in tools.path


def test_a_folder_of_the_home_shows_only_its_programs(home: Path) -> None:
    tools = host_toolchains(f"{home}/projects/bin", home)
    assert shown(home / "projects/bin", tools)
    assert not shown(home / "projects/plans.txt", tools)


def test_a_link_to_the_home_shows_no_home(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    assert not shown(tmp_path / "link", host_toolchains(f"{tmp_path}/link", home))


def test_of_a_tree_around_bin_only_the_parts_of_a_toolchain_are_shown(home: Path, tmp_path: Path) -> None:
    for folder in ("bin", "lib", "src", "data"):
        (tmp_path / "opt/app" / folder).mkdir(parents=True)
    tools = host_toolchains(f"{tmp_path}/opt/app/bin", home)
    assert shown(tmp_path / "opt/app/lib", tools)
    for folder in ("", "src", "data", ".env"):
        assert not shown(tmp_path / "opt/app" / folder, tools)


@pytest.mark.parametrize(("mark", "part"), [("pkg/tool", "src"), ("lib/modules", "conf"), ("boot", "boot")])
def test_what_a_known_toolchain_needs_besides_is_shown(home: Path, tmp_path: Path, mark: str, part: str) -> None:
    for folder in ("bin", mark, part):
        (tmp_path / "opt/tool" / folder).mkdir(parents=True, exist_ok=True)
    assert shown(tmp_path / "opt/tool" / part, host_toolchains(f"{tmp_path}/opt/tool/bin", home))


def test_a_linked_toolchain_is_shown_at_both_of_its_places(home: Path, tmp_path: Path) -> None:
    (tmp_path / "store/tool-1.2/bin").mkdir(parents=True)
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/tool").symlink_to(tmp_path / "store/tool-1.2")
    tools = host_toolchains(f"{tmp_path}/opt/tool/bin", home)
    assert shown(tmp_path / "opt/tool/bin", tools)
    assert shown(tmp_path / "store/tool-1.2/bin", tools)


def test_a_path_entry_that_cannot_be_used_is_left_out(home: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    odd = [
        *(str(tmp_path / name) for name in ("loop", "loop/bin", "file", "file/bin", "none", "open")),
        "/" + "x" * 5000,
    ]
    assert host_toolchains(":".join([*odd, "/usr/bin"]), home).path == host_toolchains("/usr/bin", home).path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_not_be_read_is_left_out(home: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        tools = host_toolchains(f"{tmp_path}/locked:{tmp_path}/locked/bin:/usr/bin", home)
    finally:
        os.seteuid(0)
    assert tools.path[0] == "/usr/bin"
    assert not shown(tmp_path / "locked", tools)


def test_our_own_environment_is_neither_shown_nor_on_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = home / ".local/share/uv/tools/vibecoder"
    (own / "bin").mkdir(parents=True)
    (own.parent / "ruff").mkdir()
    monkeypatch.setattr(sys, "prefix", str(own))
    tools = host_toolchains(f"{own}/bin:/usr/bin", home)
    assert tools.path[0] == "/usr/bin"
    assert str(own / "bin") not in tools.path
    assert shown(own.parent / "ruff", tools)
    assert list(masks(tools.read_only, tools.hidden)) == [own]


def test_without_a_python_on_path_the_one_ours_was_made_from_is_shown(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python/bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "python"))
    monkeypatch.setattr("app.adapters.sandbox.local.toolchains.SYSTEM_PATH", ())
    tools = host_toolchains("", home)
    assert tools.path == (f"{tmp_path}/python/bin",)
    assert shown(tmp_path / "python/lib", tools)


def test_managers_are_told_where_they_live(home: Path) -> None:
    tools = host_toolchains("/usr/bin", home)
    assert manager_homes(tools.read_only) == {"RUSTUP_HOME": f"{home}/.rustup"}


# ------------------------------------------------------------------------------------------------- what must be hidden


def refusal(tools: Toolchains, home: Path, *protected: Path) -> str:
    return exposed(tools, dict.fromkeys(protected, "Set DATA_DIR elsewhere"), home)


def test_nothing_is_said_of_data_that_is_not_shown(home: Path, tmp_path: Path) -> None:
    assert refusal(host_toolchains("/usr/bin", home), home, tmp_path / "data", home / ".vibecoder") == ""


@pytest.mark.parametrize("data", ["tools/data", "tools", ""])
def test_data_in_or_around_a_folder_on_path_is_refused(home: Path, tmp_path: Path, data: str) -> None:
    (tmp_path / "store/tools").mkdir(parents=True)
    (tmp_path / "tools").symlink_to(tmp_path / "store/tools")
    said = refusal(host_toolchains(f"{tmp_path}/tools", home), home, tmp_path / "store" / data)
    assert f"{tmp_path}/store" in said
    assert "Set DATA_DIR elsewhere, or take " in said


def test_data_in_the_system_is_refused(home: Path) -> None:
    said = refusal(host_toolchains("", home), home, Path("/usr/local/vibecoder/data"))
    assert said == "/usr/local/vibecoder/data would be shown to the agent, as /usr is. Set DATA_DIR elsewhere."
    assert Path("/usr") in bubblewrap.system_mounts()


@pytest.mark.parametrize("name", [".env", ".env.worker", "app.json"])
def test_a_key_file_in_a_folder_on_path_is_refused(home: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / name).touch()
    assert f"{tmp_path}/tools/{name} would be shown" in refusal(host_toolchains(f"{tmp_path}/tools", home), home)


def test_a_home_among_the_mounts_is_refused(home: Path) -> None:
    assert "whole home" in refusal(Toolchains(read_only=(home.parent,)), home)


def test_data_in_our_own_environment_is_hidden_with_it(home: Path) -> None:
    own = home / ".pyenv/versions/vibecoder"
    tools = Toolchains(read_only=(home / ".pyenv/versions",), hidden=(own,))
    assert refusal(tools, home, own / "data") == ""
