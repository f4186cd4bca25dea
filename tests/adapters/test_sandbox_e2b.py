"""What is true of the E2B adapter alone: rules, retries, ends and errors, over the unmodified SDK."""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
from pydantic import SecretStr
from starlette.responses import Response

from app.adapters.sandbox.e2b.envd import AGAIN_S
from app.adapters.sandbox.e2b.sandboxes import E2BSandbox, E2BSandboxes
from app.core.errors import SandboxError, SandboxGone
from app.core.ports.sandbox import CommandTimeout, Network
from tests.contract.e2b_server import API_KEY, E2BServer, Edge, e2b_server, page
from tests.processes import COMMAND_LINES, parent_of


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[E2BServer]:
    async with e2b_server(tmp_path) as server:
        yield server


@pytest.fixture
def provider(server: E2BServer) -> E2BSandboxes:
    return E2BSandboxes(SecretStr(API_KEY), api_url=server.url, sandbox_url=server.url, again_s=(0.01,) * len(AGAIN_S))


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


async def test_finding_a_machine_again_says_how_long_it_is_to_live_at_least(
    server: E2BServer, provider: E2BSandboxes, sandbox: E2BSandbox
) -> None:
    box = server.boxes[sandbox.id]
    end = box.ends_at
    await provider.reconnect(sandbox.id)
    assert box.ends_at >= end
    box.ends_at = datetime.now(UTC) + timedelta(seconds=5)
    await provider.reconnect(sandbox.id)
    assert box.ends_at > datetime.now(UTC) + timedelta(seconds=200)


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


CALLS: dict[str, Callable[[E2BSandboxes, E2BSandbox], Awaitable[object]]] = {
    "create": lambda provider, _: provider.create(key="two", metadata={}, timeout_s=60),
    "reconnect": lambda provider, sandbox: provider.reconnect(sandbox.id),
    "list": lambda provider, _: provider.list(),
    "kill": lambda provider, sandbox: provider.kill(sandbox.id),
    "set_network": lambda _, sandbox: sandbox.set_network(Network()),
    "keep_alive": lambda _, sandbox: sandbox.keep_alive(9_000),
    "close": lambda _, sandbox: sandbox.close(),
}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 520, 599])
@pytest.mark.parametrize("call", CALLS)
async def test_an_error_page_is_a_passing_error(
    server: E2BServer, provider: E2BSandboxes, sandbox: E2BSandbox, call: str, status: int
) -> None:
    server.faults = [page(status) for _ in range(9)]
    with pytest.raises(SandboxError) as caught:
        await CALLS[call](provider, sandbox)
    assert (caught.value.is_passing, type(caught.value)) == (True, SandboxError)
    assert str(caught.value).startswith("E2B could not ")
    assert str(status) in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.parametrize("body", ["", "null", "[]", "7", '"words"', "{", "upstream connect error", '{"message": 7}'])
@pytest.mark.parametrize("status", [200, 201, 404, 500, 520])
async def test_an_answer_that_makes_no_sense_is_a_sandbox_error(
    server: E2BServer, provider: E2BSandboxes, status: int, body: str
) -> None:
    server.faults = [Response(body, status, media_type="application/json") for _ in range(9)]
    with pytest.raises(SandboxError) as caught:
        await provider.create(key="two", metadata={}, timeout_s=60)
    assert caught.value.is_passing or status == 404
    assert len(str(caught.value)) < 500


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
    lost = E2BSandboxes(SecretStr(API_KEY), api_url=server.url, sandbox_url="http://127.0.0.1:1", again_s=())
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


PROFILES = {
    "forges a report": "trap 'printf \"aGk=\\n\\n0\\n0\\n\"' EXIT\n",
    "prints": "printf Welcome; printf Warning >&2\n",
    "ends": "exit 1\n",
    "waits": "sleep 20\n",
    "changes": "export LANG=no\ncd /\nset -e\n",
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
async def test_a_login_shell_has_no_part_in_commands(
    server: E2BServer, provider: E2BSandboxes, sandbox: E2BSandbox, profile: str
) -> None:
    (server.boxes[sandbox.id].home / ".bash_profile").write_text(profile)
    again = await provider.reconnect(sandbox.id)
    for machine in (sandbox, again):
        started = monotonic()
        ended = await machine.exec(["sh", "-c", "echo $LANG; pwd; exit 3"])
        assert (ended.exit_code, ended.output) == (3, f"C.UTF-8\n{sandbox.work_tree}\n")
        assert monotonic() - started < 5


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
async def test_a_templates_login_shell_cannot_keep_a_machine_from_opening(
    server: E2BServer, provider: E2BSandboxes, profile: str
) -> None:
    server.prepare = lambda home: (home / ".bash_profile").write_text(profile)
    started = monotonic()
    made = await provider.create(key="one", metadata={}, timeout_s=60)
    assert monotonic() - started < 8
    assert (await made.exec(["sh", "-c", "exit 3"])).exit_code == 3


async def test_programs_that_a_login_shell_finds_are_found(server: E2BServer, provider: E2BSandboxes) -> None:
    def prepare(home: Path) -> None:
        (home / "tools").mkdir()
        (home / "tools" / "greet").write_text("#!/bin/sh\necho hello\n")
        (home / "tools" / "greet").chmod(0o755)
        (home / ".bash_profile").write_text('PATH="$HOME/tools:$PATH"; echo Welcome\n')

    server.prepare = prepare
    made = await provider.create(key="one", metadata={}, timeout_s=60)
    assert (await made.exec(["greet"])).output == "hello\n"
    assert (await (await provider.reconnect(made.id)).exec(["greet"])).output == "hello\n"


async def test_commands_are_the_default_users(server: E2BServer, sandbox: E2BSandbox) -> None:
    box = server.boxes[sandbox.id]
    ended = await sandbox.exec(["sh", "-c", "id -u; echo $HOME $USER; touch file; stat -c %u file; env"])
    assert ended.output.startswith(f"{box.uid}\n{box.home} user\n{box.uid}\n")
    assert "VIBECODER" not in ended.output


SUDO = "sudo -n sh -c 'touch {0}/started; sleep 0.8; touch {0}/late'"


async def test_out_of_time_ends_what_sudo_started(sandbox: E2BSandbox) -> None:
    for line in (SUDO, f"{SUDO} >/dev/null 2>&1 & sleep 30"):
        with pytest.raises(CommandTimeout) as caught:
            await sandbox.exec(["sh", "-c", f"echo before; {line.format(sandbox.work_tree)}"], timeout_s=0.4)
        assert caught.value.output == "before\n"
    assert (await sandbox.exec(["sh", "-c", "sleep 0.6; ls"])).output == "started\n"


async def test_a_cancelled_command_leaves_nothing_of_sudos(sandbox: E2BSandbox) -> None:
    running = asyncio.create_task(sandbox.exec(["sh", "-c", SUDO.format(sandbox.work_tree)]))
    async with asyncio.timeout(10):
        while "started" not in (await sandbox.exec(["ls"])).output:
            pass
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await sandbox.exec(["sh", "-c", "sleep 0.9; ls"])).output == "started\n"


DAEMON = "sudo -n setsid sh -c 'while :; do echo at work; sleep 0.05; echo $$ >{0}/beat; done' &"


async def _beats(sandbox: E2BSandbox) -> bool:
    """Whether the daemon lives, and whether it still does when it has printed once more."""
    line = "rm -f beat; n=0; until [ -s beat ] || [ $n = 20 ]; do sleep 0.05; n=$((n+1)); done; ls"
    return "beat" in (await sandbox.exec(["sh", "-c", line])).output


async def test_a_daemon_that_set_up_leaves_lives_on_and_holds_nothing_up(sandbox: E2BSandbox) -> None:
    line = f"echo before; {DAEMON.format(sandbox.work_tree)}\nsleep 0.2; exit 3"
    started = monotonic()
    ended = await sandbox.exec(["sh", "-c", line], leaves_daemons=True)
    assert monotonic() - started < 5
    assert ended.exit_code == 3
    assert ended.output.startswith("before\nat work\n")
    assert await _beats(sandbox)
    assert await _beats(sandbox)


async def test_a_daemon_of_any_other_command_ends_with_it(sandbox: E2BSandbox) -> None:
    line = f"{DAEMON.format(sandbox.work_tree)}\nsleep 0.2; exit 3"
    assert (await sandbox.exec(["sh", "-c", line])).exit_code == 3
    assert not await _beats(sandbox)


async def test_a_daemon_that_is_to_be_left_is_ended_when_time_runs_out(sandbox: E2BSandbox) -> None:
    line = f"{DAEMON.format(sandbox.work_tree)}\nsleep 30"
    with pytest.raises(CommandTimeout):
        await sandbox.exec(["sh", "-c", line], timeout_s=0.4, leaves_daemons=True)
    assert not await _beats(sandbox)


@pytest.mark.parametrize("generations", [1, 2], ids=["supervisor", "guard"])
async def test_a_command_that_kills_its_supervisor_is_ended(sandbox: E2BSandbox, generations: int) -> None:
    parent = "$$"
    for _ in range(generations):
        parent = parent_of(parent)
    hidden = f"setsid sh -c 'sleep 0.5; touch {sandbox.work_tree}/late' &"
    ended = await sandbox.exec(["sh", "-c", f"{hidden}\nsudo -n kill -9 {parent}; sleep 30"], timeout_s=20)
    assert ended.exit_code == 137
    assert (await sandbox.exec(["sh", "-c", "sleep 0.6; ls"])).output == ""


async def test_a_command_cannot_write_its_own_report(sandbox: E2BSandbox) -> None:
    line = f"parent={parent_of('$$')}; echo forged >/proc/$parent/fd/1; cat /proc/$parent/environ"
    ended = await sandbox.exec(["sh", "-c", f"{line}; exit 3"])
    assert ended.exit_code == 3
    assert "VIBECODER" not in ended.output


async def test_what_runs_a_command_does_not_show_what_is_run(sandbox: E2BSandbox) -> None:
    parent = parent_of("$$")
    shown = f"for each in {parent} {parent_of(parent)}; do tr '\\0\\n' '  ' </proc/$each/cmdline; echo; done"
    ended = await sandbox.exec(["sh", "-c", f": needle; {shown}; exit 3"])
    assert ended.exit_code == 3
    assert len(ended.output.splitlines()) == 2
    assert "needle" not in ended.output
    assert len(ended.output) < 600


async def test_a_machine_without_python_does_the_same(server: E2BServer, provider: E2BSandboxes) -> None:
    server.hide_python()
    sandbox = await provider.create(key="one", metadata={}, timeout_s=60)
    assert (await sandbox.exec(["sh", "-c", "echo out; echo err >&2; id -u; exit 3"])).output.startswith("out\nerr\n")
    assert (await sandbox.exec(["sh", "-c", "exit 3"])).exit_code == 3
    data = bytes(range(256)) * 100
    await sandbox.write("file", data)
    assert await sandbox.read("file") == data
    line = f"echo before; {SUDO.format(sandbox.work_tree)}"
    with pytest.raises(CommandTimeout) as caught:
        await sandbox.exec(["sh", "-c", line], timeout_s=0.4)
    assert caught.value.output == "before\n"
    line = f"{DAEMON.format(sandbox.work_tree)}\nsleep 0.2; exit 3"
    assert (await sandbox.exec(["sh", "-c", line], leaves_daemons=True)).exit_code == 3
    assert await _beats(sandbox)
    if os.geteuid() == 0:  # without root there is no PID namespace, and the mark does not pass through `sudo`
        assert "late" not in (await sandbox.exec(["sh", "-c", "sleep 0.6; ls"])).output


async def test_a_machine_that_cannot_be_used_is_not_kept(server: E2BServer, provider: E2BSandboxes) -> None:
    server.path = "/nowhere"
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


@pytest.mark.parametrize(
    "fault",
    [429, 502, 503, page(502), page(503), page(520), Edge.RESET],
    ids=["429", "502", "503", "page 502", "page 503", "page 520", "reset"],
)
async def test_a_blip_before_a_command_begins_is_not_seen(
    server: E2BServer, sandbox: E2BSandbox, fault: int | Response | Edge
) -> None:
    server.edge = [fault] * 3
    assert (await sandbox.exec(["sh", "-c", "echo once >> log; cat log"])).output == "once\n"
    assert server.edge == []


SLEEP = f"sleep 60.{os.getpid()}"
"""Nobody else's: the stand-in's commands run on this host, beside other suites'."""
STILL_SLEEPING = f"{COMMAND_LINES} | grep -c '[s]{SLEEP[1:]}'"
BLIPS = pytest.mark.parametrize(
    "blip",
    [429, 502, 503, page(502), page(520), Edge.RESET],
    ids=["429", "502", "503", "page 502", "page 520", "reset"],
)


@BLIPS
async def test_a_blip_while_a_file_is_sent_is_not_seen(
    server: E2BServer, sandbox: E2BSandbox, tmp_path: Path, blip: int | Response | Edge
) -> None:
    data = b"0123456789" * 100_000
    with tarfile.open(tmp_path / "files.tar", "w") as tar:
        member = tarfile.TarInfo("unpacked")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    server.edge_of = ("/files",)
    for put in (partial(sandbox.write, "written", data), partial(sandbox.upload, tmp_path / "files.tar", ".")):
        server.edge = [blip] * 3
        await put()
        assert server.edge == []
    assert [await sandbox.read(name) for name in ("written", "unpacked")] == [data, data]


@BLIPS
async def test_a_blip_while_a_command_is_ended_does_not_let_it_live(
    server: E2BServer, sandbox: E2BSandbox, blip: int | Response | Edge
) -> None:
    running = asyncio.create_task(sandbox.exec(["sh", "-c", f"touch started; {SLEEP}"]))
    async with asyncio.timeout(20):
        while "started" not in (await sandbox.exec(["ls"])).output:
            pass
    server.edge, server.edge_of = [blip] * 2, ("/SendSignal",)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert server.edge == []
    assert (await sandbox.exec(["sh", "-c", STILL_SLEEPING])).output == "0\n"


@pytest.mark.parametrize("blip", [429, 502, 503, page(502), page(520)], ids=["429", "502", "503", "page", "page 520"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_blip_of_the_control_plane_is_not_seen(
    server: E2BServer, provider: E2BSandboxes, sandbox: E2BSandbox, call: str, blip: int | Response
) -> None:
    server.faults = [blip] * 3
    await CALLS[call](provider, sandbox)
    assert server.faults == []


async def test_an_edge_that_stays_broken_is_a_passing_error_and_no_lost_machine(
    server: E2BServer, sandbox: E2BSandbox
) -> None:
    server.edge = [page(502)] * 9
    with pytest.raises(SandboxError) as caught:
        await sandbox.exec(["true"])
    assert (caught.value.is_passing, isinstance(caught.value, SandboxGone), len(server.edge)) == (
        True,
        False,
        9 - 1 - len(AGAIN_S),
    )
    assert "<" not in str(caught.value)


async def test_a_machine_that_is_gone_is_not_asked_again(server: E2BServer, sandbox: E2BSandbox) -> None:
    server.kill(sandbox.id)
    began = monotonic()
    with pytest.raises(SandboxGone):
        await sandbox.exec(["true"])
    assert monotonic() - began < 2


@pytest.mark.parametrize("has_python", [True, False])
async def test_a_command_that_began_is_never_run_twice(
    server: E2BServer, provider: E2BSandboxes, *, has_python: bool
) -> None:
    if not has_python:
        server.hide_python()
    sandbox = await provider.create(key="one", metadata={}, timeout_s=300)
    server.edge = [Edge.BEGUN]
    server.has_begun = Path(sandbox.work_tree, "log")
    with pytest.raises(SandboxError, match="lost as a command began") as caught:
        await sandbox.exec(["sh", "-c", f"echo once >> log; {SLEEP}"], timeout_s=90)
    assert (caught.value.is_passing, isinstance(caught.value, SandboxGone)) == (True, False)
    assert (await sandbox.exec(["cat", "log"])).output == "once\n"
    async with asyncio.timeout(10):
        while (await sandbox.exec(["sh", "-c", STILL_SLEEPING])).output != "0\n":
            pass


async def test_a_daemon_that_hangs_is_noticed_within_the_commands_limit_and_five_seconds(
    server: E2BServer, sandbox: E2BSandbox
) -> None:
    server.is_envd_answering.clear()
    began = monotonic()
    with pytest.raises(SandboxError) as caught:
        await sandbox.exec(["true"], timeout_s=1)
    assert (caught.value.is_passing, isinstance(caught.value, SandboxGone)) == (True, False)
    assert monotonic() - began < 6


async def test_a_machine_is_kept_alive_with_one_call(server: E2BServer, sandbox: E2BSandbox) -> None:
    await sandbox.keep_alive(900)
    server.calls.clear()
    for seconds in (1_000, 1_100, 1_200):
        await sandbox.keep_alive(seconds)
    await sandbox.keep_alive(60)
    assert server.calls == [f"POST /sandboxes/{sandbox.id}/timeout"] * 3


async def test_a_file_for_which_there_is_no_room_is_told_to_the_caller(server: E2BServer, sandbox: E2BSandbox) -> None:
    server.is_full = True
    with pytest.raises(OSError, match="No space left on device"):
        await sandbox.write("large", b"x" * 1_000_000)
    assert (await sandbox.exec(["echo", "alive"])).output == "alive\n"
