"""What is true of the E2B adapter alone: rules, retries, ends and errors, over the unmodified SDK."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.adapters.sandbox.e2b import E2BSandbox, E2BSandboxes
from app.core.errors import SandboxError
from app.core.machine import Network
from tests.contract.e2b_server import API_KEY, E2BServer, e2b_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[E2BServer]:
    async with e2b_server(tmp_path) as server:
        yield server


@pytest.fixture
def provider(server: E2BServer) -> E2BSandboxes:
    return E2BSandboxes(SecretStr(API_KEY), api_url=server.url, sandbox_url=server.url)


@pytest.fixture
async def sandbox(provider: E2BSandboxes) -> E2BSandbox:
    return await provider.create(key="one", metadata={}, timeout_s=300)


@pytest.mark.parametrize(
    ("network", "rules"),
    [
        (Network(is_open=True), {}),
        (Network(), {"denyOut": ["0.0.0.0/0"]}),
        (Network(hosts=("packages.example.org",)), {"allowOut": ["packages.example.org"], "denyOut": ["0.0.0.0/0"]}),
    ],
)
async def test_allowed_hosts_always_come_with_deny_all(
    server: E2BServer, sandbox: E2BSandbox, network: Network, rules: dict[str, list[str]]
) -> None:
    await sandbox.set_network(network)
    assert server.boxes[sandbox.id].network == rules


async def test_keeping_alive_never_brings_the_end_nearer(server: E2BServer, sandbox: E2BSandbox) -> None:
    box = server.boxes[sandbox.id]
    end = box.ends_at
    await sandbox.keep_alive(10)
    assert box.ends_at == end
    await sandbox.keep_alive(900)
    assert box.ends_at > datetime.now(UTC) + timedelta(seconds=890)


async def test_only_our_own_machines_are_listed(server: E2BServer, provider: E2BSandboxes) -> None:
    other = E2BSandboxes(SecretStr(API_KEY), api_url=server.url, sandbox_url=server.url, owner="somebody else")
    ours = [(await provider.create(key=f"k{n}", metadata={}, timeout_s=60)).id for n in range(5)]
    await other.create(key="theirs", metadata={}, timeout_s=60)
    assert [info.id for info in await provider.list()] == ours


async def test_a_busy_service_is_asked_again_and_makes_one_machine(server: E2BServer, provider: E2BSandboxes) -> None:
    server.faults = [503, 502]
    await provider.create(key="one", metadata={}, timeout_s=60)
    assert server.created == 1


@pytest.mark.parametrize(
    ("status", "advice", "is_passing"),
    [
        (401, "E2B_API_KEY", False),
        (429, "Try again", True),
        (503, "Try again", True),
        (500, "status.e2b.dev", True),
        (502, "status.e2b.dev", True),
        (400, "out of order", False),
        (403, "out of order", False),
        (404, "out of order", False),
    ],
)
async def test_every_refusal_says_what_to_do_and_whether_it_passes(
    server: E2BServer, provider: E2BSandboxes, status: int, advice: str, is_passing: bool
) -> None:
    server.faults = [status] * 9
    with pytest.raises(SandboxError, match=advice) as caught:
        await provider.list()
    assert caught.value.is_passing is is_passing


async def test_a_wrong_key_is_named(server: E2BServer) -> None:
    provider = E2BSandboxes(SecretStr("e2b_wrong"), api_url=server.url, sandbox_url=server.url)
    with pytest.raises(SandboxError, match="E2B_API_KEY") as caught:
        await provider.create(key="one", metadata={}, timeout_s=60)
    assert "e2b_wrong" not in str(caught.value)


async def test_nobody_listening_is_a_sandbox_error() -> None:
    provider = E2BSandboxes(SecretStr(API_KEY), api_url="http://127.0.0.1:1", sandbox_url="http://127.0.0.1:1")
    with pytest.raises(SandboxError) as caught:
        await provider.list()
    assert caught.value.is_passing


async def test_a_machine_that_cannot_be_reached_passes(server: E2BServer, provider: E2BSandboxes) -> None:
    made = await provider.create(key="one", metadata={}, timeout_s=60)
    lost = E2BSandboxes(SecretStr(API_KEY), api_url=server.url, sandbox_url="http://127.0.0.1:1")
    with pytest.raises(SandboxError) as caught:
        await lost.reconnect(made.id)
    assert caught.value.is_passing


async def test_the_environment_changes_nothing(
    provider: E2BSandboxes, server: E2BServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("E2B_API_KEY", "E2B_API_URL", "E2B_SANDBOX_URL", "E2B_DOMAIN"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/wrong")
    monkeypatch.setenv("E2B_DEBUG", "true")
    await provider.create(key="one", metadata={}, timeout_s=60)
    assert server.created == 1


async def test_a_flood_stays_in_the_machine(server: E2BServer, sandbox: E2BSandbox) -> None:
    ended = await sandbox.exec(["sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' x"], max_output_bytes=10_000)
    assert ended.cut
    assert server.bytes_out < 30_000


async def test_what_a_login_shell_prints_is_not_the_commands(server: E2BServer, sandbox: E2BSandbox) -> None:
    (server.boxes[sandbox.id].home / ".bash_profile").write_text("echo Welcome; export LANG=no PATH=/usr/bin:/bin\n")
    ended = await sandbox.exec(["sh", "-c", "echo $LANG"])
    assert (ended.exit_code, ended.output) == (0, "C.UTF-8\n")


async def test_a_command_that_kills_its_watcher_is_a_value(sandbox: E2BSandbox) -> None:
    ended = await sandbox.exec(["sh", "-c", "kill -9 $(ps -o ppid= -p $$)"])
    assert ended.exit_code == 137


async def test_a_machine_that_cannot_be_used_is_not_kept(server: E2BServer, provider: E2BSandboxes) -> None:
    server.prepare = lambda home: (home / ".bash_profile").write_text("exit 1\n")
    with pytest.raises(SandboxError, match="work tree") as caught:
        await provider.create(key="one", metadata={}, timeout_s=60)
    assert not caught.value.is_passing
    assert server.boxes == {}


async def test_a_work_tree_that_is_taken_is_not_used(server: E2BServer, provider: E2BSandboxes) -> None:
    server.prepare = lambda home: (home / "repo").mkdir()
    made = await provider.create(key="one", metadata={}, timeout_s=60)
    assert made.work_tree == str(server.boxes[made.id].home / f"repo-{made.id}")
    assert (await provider.reconnect(made.id)).work_tree == made.work_tree


async def test_nothing_is_left_behind_in_the_machine(sandbox: E2BSandbox) -> None:
    before = (await sandbox.exec(["sh", "-c", "ls -A /tmp | grep -c -e vibecoder- -e tmp\\."])).output
    await sandbox.write("file", b"data")
    await sandbox.read("file")
    after = (await sandbox.exec(["sh", "-c", "ls -A /tmp | grep -c -e vibecoder- -e tmp\\."])).output
    assert before == after
