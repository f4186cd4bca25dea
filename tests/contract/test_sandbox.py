"""What every sandbox promises, asked of each: this host's, E2B's SDK against a loopback server, and E2B itself."""

import asyncio
import io
import os
import tarfile
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

import pytest
from pydantic import SecretStr

from app.adapters.sandbox.e2b.sandboxes import E2BSandboxes
from app.adapters.sandbox.local.sandboxes import LocalSandboxes
from app.core.errors import SandboxError
from app.core.ports.sandbox import CommandTimeout, Network, Sandbox, SandboxProvider
from tests.contract.e2b_server import API_KEY, e2b_server
from tests.processes import COMMAND_LINES

KINDS = ["bubblewrap", "unisolated", "e2b-loopback", pytest.param("e2b", marks=pytest.mark.live)]


@pytest.fixture(params=KINDS)
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SandboxProvider]:
    async with AsyncExitStack() as stack:
        if request.param == "bubblewrap":
            request.getfixturevalue("isolation")
            yield LocalSandboxes(tmp_path / "machines")
        elif request.param == "unisolated":
            yield LocalSandboxes(tmp_path / "machines", isolation=False)
        elif request.param == "e2b-loopback":
            server = await stack.enter_async_context(e2b_server(tmp_path))
            yield E2BSandboxes(SecretStr(API_KEY), api_url=server.url, sandbox_url=server.url)
        elif key := os.environ.get("E2B_API_KEY"):
            yield E2BSandboxes(SecretStr(key), owner="vibecoder-contract")
        else:
            pytest.skip("needs E2B_API_KEY")


@pytest.fixture
async def sandbox(provider: SandboxProvider) -> AsyncIterator[Sandbox]:
    made = await provider.create(key="one", metadata={"job": "acme~greeter~1"}, timeout_s=300)
    yield made
    await made.close()


async def sh(
    sandbox: Sandbox, line: str, *, timeout_s: float = 30.0, max_output_bytes: int = 32_768
) -> tuple[int, str]:
    ended = await sandbox.exec(["sh", "-c", line], timeout_s=timeout_s, max_output_bytes=max_output_bytes)
    return ended.exit_code, ended.output


def packed(folder: Path, **files: bytes) -> Path:
    tar = folder / "upload.tar"
    with tarfile.open(tar, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"inner/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return tar


async def test_a_new_machine_has_an_empty_work_tree_and_starts_in_it(sandbox: Sandbox) -> None:
    assert await sh(sandbox, "pwd; ls -A") == (0, f"{sandbox.work_tree}\n")


async def test_a_failing_command_is_a_value(sandbox: Sandbox) -> None:
    assert await sh(sandbox, "echo out; echo err >&2; exit 7") == (7, "out\nerr\n")


@pytest.mark.parametrize(("signal", "code"), [("KILL", 137), ("TERM", 143)])
async def test_a_signal_gives_128_and_its_number(sandbox: Sandbox, signal: str, code: int) -> None:
    assert (await sh(sandbox, f"kill -{signal} $$"))[0] == code


async def test_a_command_that_does_not_exist_is_127(sandbox: Sandbox) -> None:
    ended = await sandbox.exec(["no-such-program"])
    assert ended.exit_code == 127
    assert "no-such-program" in ended.output


async def test_a_file_that_is_no_program_is_126(sandbox: Sandbox) -> None:
    await sandbox.write("notes", b"words")
    assert (await sandbox.exec(["./notes"])).exit_code == 126


@pytest.mark.parametrize("argv", [[], [""], ["echo", "a\0b"], ["echo", "\ud800"], ["echo", "x" * 200_000]])
async def test_a_command_that_cannot_be_started_is_a_value(sandbox: Sandbox, argv: list[str]) -> None:
    assert (await sandbox.exec(argv)).exit_code in {126, 127}


async def test_arguments_arrive_as_they_are(sandbox: Sandbox) -> None:
    argv = ["printf", "<%s>", "", "a b", "$HOME", "'\"`", "*", "-n", "é\n"]
    assert (await sandbox.exec(argv)).output == "<><a b><$HOME><'\"`><*><-n><é\n>"


async def test_a_program_is_taken_and_not_a_shell_builtin_of_its_name(sandbox: Sandbox) -> None:
    assert (await sandbox.exec(["echo", "a\\tb"])).output == "a\\tb\n"


async def test_environment_and_folder_are_the_commands(sandbox: Sandbox) -> None:
    await sandbox.write("deep/er/file", b"")
    ended = await sandbox.exec(["sh", "-c", "echo $GREETING; pwd"], cwd="deep/er", env={"GREETING": "hello you"})
    assert ended.output == f"hello you\n{sandbox.work_tree}/deep/er\n"
    assert (await sandbox.exec(["true"], cwd="nowhere")).exit_code == 126


async def test_nothing_of_the_workers_environment_is_seen(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_not_for_you")
    assert "ghs_not_for_you" not in (await sh(sandbox, "env"))[1]


async def test_a_suite_finds_what_it_would_in_a_shell_of_ones_own(sandbox: Sandbox) -> None:
    names = "CI CONTINUOUS_INTEGRATION BUILD_NUMBER GITHUB_ACTIONS"
    assert await sh(sandbox, f'for each in {names}; do printenv "$each"; done; true') == (0, "")


async def test_standard_input_is_empty(sandbox: Sandbox) -> None:
    assert await sh(sandbox, "cat; echo end") == (0, "end\n")


async def test_long_output_loses_its_middle(sandbox: Sandbox) -> None:
    ended = await sandbox.exec(["seq", "100000"], max_output_bytes=1_000)
    assert ended.cut
    assert ended.output.startswith("1\n2\n3\n")
    assert ended.output.endswith("\n99999\n100000\n")
    assert "bytes left out" in ended.output
    assert len(ended.output) <= 1_000


async def test_output_that_just_fits_is_whole(sandbox: Sandbox) -> None:
    ended = await sandbox.exec(["printf", "é" * 500], max_output_bytes=1_000)
    assert (ended.output, ended.cut) == ("é" * 500, False)


async def test_bytes_that_are_no_text_are_replaced(sandbox: Sandbox) -> None:
    assert await sh(sandbox, r"printf 'a\377b'") == (0, "a\ufffdb")


async def test_a_flood_of_output_ends_soon_with_its_exit_code(sandbox: Sandbox) -> None:
    started = monotonic()
    code, output = await sh(sandbox, "head -c 200000000 /dev/zero | tr '\\0' x; exit 3", timeout_s=30)
    assert (code, len(output) <= 32_768) == (3, True)
    assert monotonic() - started < 10


async def test_out_of_time_kills_and_keeps_what_was_said(sandbox: Sandbox) -> None:
    line = "echo before; (sleep 0.8; touch late) & sleep 30"
    with pytest.raises(CommandTimeout) as caught:
        await sh(sandbox, line, timeout_s=0.4)
    assert caught.value.output.startswith("before\n")
    assert await sh(sandbox, "sleep 0.6; ls") == (0, "")


async def test_a_process_left_behind_neither_holds_up_nor_lives_on(sandbox: Sandbox) -> None:
    started = monotonic()
    assert await sh(sandbox, "(sleep 0.5; touch late) & echo done") == (0, "done\n")
    assert monotonic() - started < 5
    assert await sh(sandbox, "sleep 0.6; ls") == (0, "")


HIDING = {
    "session": "setsid sh -c '{}' &",
    "environment": "env -i PATH=\"$PATH\" setsid sh -c '{}' &",
    "orphan": "(setsid sh -c '(sh -c \"{}\" &) &' &)",
    "closed output": "setsid nohup sh -c '{}' >/dev/null 2>&1 </dev/null &",
}
"""Ways to hide from what watches over a command."""


@pytest.fixture
def isolating(request: pytest.FixtureRequest, sandbox: Sandbox) -> Sandbox:
    if "unisolated" in request.node.name:
        pytest.skip("without isolation, only the process group is ended")
    return sandbox


@pytest.mark.parametrize("hidden", HIDING.values(), ids=HIDING)
async def test_out_of_time_ends_what_hides(isolating: Sandbox, hidden: str) -> None:
    start = hidden.format("touch started; sleep 0.8; touch late")
    with pytest.raises(CommandTimeout):
        await sh(isolating, f"{start}\nsleep 30", timeout_s=0.4)
    assert await sh(isolating, "sleep 0.6; ls") == (0, "started\n")


@pytest.mark.parametrize("hidden", HIDING.values(), ids=HIDING)
async def test_what_hides_ends_with_its_command(isolating: Sandbox, hidden: str) -> None:
    start = hidden.format("touch started; sleep 0.5; touch late")
    started = monotonic()
    assert await sh(isolating, f"{start}\nuntil [ -e started ]; do :; done; echo done; exit 3") == (3, "done\n")
    assert monotonic() - started < 5
    assert await sh(isolating, "sleep 0.6; ls") == (0, "started\n")


async def test_a_fork_bomb_ends_with_its_time(isolating: Sandbox) -> None:
    bomb = "f() { [ $1 -gt 4 ] || { f $(($1+1)) & f $(($1+1)) & }; sleep 30; }; f 0"
    with pytest.raises(CommandTimeout):
        await sh(isolating, bomb, timeout_s=1)
    assert await sh(isolating, f"{COMMAND_LINES} | grep -c '[s]leep 30'") == (1, "0\n")


async def test_a_cancelled_command_is_dead(sandbox: Sandbox) -> None:
    running = asyncio.create_task(sh(sandbox, "touch started; sleep 0.5; touch late; sleep 30"))
    async with asyncio.timeout(10):
        while "started" not in (await sh(sandbox, "ls"))[1]:
            pass
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await sh(sandbox, "sleep 0.6; ls") == (0, "started\n")


async def test_commands_run_side_by_side(sandbox: Sandbox) -> None:
    ended = await asyncio.gather(*(sh(sandbox, f"sleep 0.3; echo {n}") for n in range(4)))
    assert [output for _, output in ended] == ["0\n", "1\n", "2\n", "3\n"]


async def test_what_is_written_is_read(sandbox: Sandbox) -> None:
    data = bytes(range(256)) * 5_000
    await sandbox.write("a folder/with 'quotes'/-file", data)
    assert await sandbox.read("a folder/with 'quotes'/-file", max_bytes=len(data)) == data
    assert await sandbox.read(f"{sandbox.work_tree}/a folder/with 'quotes'/-file", max_bytes=3) == b"\0\1\2"


async def test_writing_keeps_the_mode_and_shortens(sandbox: Sandbox) -> None:
    await sandbox.write("run.sh", b"#!/bin/sh\necho a long first version\n")
    await sh(sandbox, "chmod 750 run.sh")
    await sandbox.write("run.sh", b"#!/bin/sh\n")
    assert await sh(sandbox, "stat -c %a:%s run.sh") == (0, "750:10\n")


@pytest.mark.parametrize("make", ["true", "mkdir it", "mkfifo it", "ln -s /nowhere it", "ln -s it it"])
async def test_reading_what_is_no_file_says_so_at_once(sandbox: Sandbox, make: str) -> None:
    await sh(sandbox, make)
    with pytest.raises(FileNotFoundError):
        await sandbox.read("it")


@pytest.mark.parametrize("make", ["mkdir it", "mkfifo it", "ln -s it it", "ln -s /proc/nowhere it"])
async def test_writing_what_cannot_be_written_says_so_at_once(sandbox: Sandbox, make: str) -> None:
    await sh(sandbox, make)
    with pytest.raises(OSError, match="it cannot be written"):
        await sandbox.write("it", b"data")


async def test_only_the_asked_part_of_a_huge_file_comes(sandbox: Sandbox) -> None:
    await sh(sandbox, "truncate -s 900M huge")
    assert await sandbox.read("huge", max_bytes=10) == b"\0" * 10


async def test_an_upload_is_unpacked_again_and_again(sandbox: Sandbox, tmp_path: Path) -> None:
    tar = packed(tmp_path, one=b"1", two=b"x" * 3_000_000)
    for _ in range(2):
        await sandbox.upload(tar, "sub")
    assert await sh(sandbox, "cat sub/inner/one; stat -c %s sub/inner/two") == (0, "13000000\n")


async def test_an_upload_that_is_no_tar_is_an_error(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "no.tar").write_bytes(b"words" * 1_000)
    with pytest.raises(SandboxError, match="cannot be unpacked"):
        await sandbox.upload(tmp_path / "no.tar", ".")


@pytest.mark.parametrize("network", [Network(), Network(is_open=True), Network(hosts=("packages.example.org",))])
async def test_the_network_can_be_set_again_and_again(sandbox: Sandbox, network: Network) -> None:
    await sandbox.set_network(network)
    await sandbox.set_network(network)
    assert await sh(sandbox, "echo alive") == (0, "alive\n")


async def test_the_same_key_gives_the_same_machine(provider: SandboxProvider) -> None:
    first, second = [await provider.create(key="Same~key#1", metadata={}, timeout_s=60) for _ in range(2)]
    await first.write("file", b"here")
    assert (first.id, first.work_tree) == (second.id, second.work_tree)
    assert await second.read("file") == b"here"
    await first.close()


async def test_a_machine_is_found_again_by_its_id(provider: SandboxProvider, sandbox: Sandbox) -> None:
    await sandbox.write("file", b"here")
    again = await provider.reconnect(sandbox.id)
    assert (again.id, again.work_tree, await again.read("file")) == (sandbox.id, sandbox.work_tree, b"here")


async def test_machines_are_listed_oldest_first_with_what_they_were_given(provider: SandboxProvider) -> None:
    made = [await provider.create(key=f"k{n}", metadata={"n": str(n)}, timeout_s=60) for n in range(3)]
    listed = await provider.list()
    assert [(info.id, info.metadata) for info in listed] == [(box.id, {"n": str(n)}) for n, box in enumerate(made)]
    assert all(info.created_at.tzinfo for info in listed)
    for box in made:
        await box.close()
    assert await provider.list() == ()


async def test_a_killed_machine_is_gone_for_all(provider: SandboxProvider, sandbox: Sandbox) -> None:
    assert await provider.kill(sandbox.id) is True
    assert await provider.kill(sandbox.id) is False
    for call in (sandbox.exec(["true"]), sandbox.read("x"), sandbox.write("x", b""), sandbox.keep_alive(1)):
        with pytest.raises(SandboxError) as caught:
            await call
        assert caught.value.is_passing
    with pytest.raises(SandboxError) as caught:
        await provider.reconnect(sandbox.id)
    assert caught.value.is_passing
    await sandbox.close()


async def test_a_machine_is_destroyed_while_it_works(provider: SandboxProvider, sandbox: Sandbox) -> None:
    running = asyncio.create_task(sh(sandbox, "touch started; sleep 30"))
    async with asyncio.timeout(10):
        while "started" not in (await sh(sandbox, "ls"))[1]:
            pass
    await provider.kill(sandbox.id)
    async with asyncio.timeout(10):
        ended = (await asyncio.gather(running, return_exceptions=True))[0]
    assert isinstance(ended, SandboxError) or ended in {(137, ""), (137, "Killed\n")}  # a shell may still tell


async def test_closing_deletes_whatever_was_made_and_may_be_repeated(sandbox: Sandbox) -> None:
    with tempfile.TemporaryDirectory():
        await sh(
            sandbox,
            "mkdir -p a/b; touch a/b/c; chmod 000 a/b; chmod 500 a; i=0; while [ $i -lt 300 ]; do "
            "mkdir deeper-than-a-path-may-be && cd deeper-than-a-path-may-be || break; i=$((i+1)); done",
        )
    await sandbox.close()
    await sandbox.close()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
async def test_a_name_that_no_file_can_have_is_no_file(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        await sandbox.read(name)
    with pytest.raises(OSError, match="name"):
        await sandbox.write(name, b"data")
    assert (await sandbox.exec(["true"], cwd=name)).exit_code == 126
    assert (await sandbox.exec(["true"], env={"NAME": name})).exit_code == 126


async def test_a_file_that_cannot_be_read_is_not_taken_for_a_missing_one(sandbox: Sandbox) -> None:
    await sh(sandbox, "ln -s /proc/self/mem odd; echo secret > closed; chmod 000 closed")
    with pytest.raises(OSError, match="odd cannot be read") as caught:
        await sandbox.read("odd")
    assert not isinstance(caught.value, FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        await sandbox.read("missing")


async def test_what_a_full_device_says_reaches_the_caller(sandbox: Sandbox) -> None:
    code, output = await sh(sandbox, "head -c 100000 /dev/zero > /dev/full")
    assert (code, "No space left on device" in output) == (1, True)
