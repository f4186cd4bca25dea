"""What hostile code inside a local sandbox cannot do, and what the worker leaves behind when it dies."""

import asyncio
import ctypes
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.adapters import seccomp
from app.adapters.sandbox.local import cgroup
from app.adapters.sandbox.local.limits import MIB
from app.adapters.sandbox.local.sandboxes import LocalSandbox, LocalSandboxes
from app.core.errors import SandboxError
from app.core.ports.sandbox import CommandTimeout, Network
from tests import kernel


@pytest.fixture
def provider(isolation: None, tmp_path: Path) -> LocalSandboxes:
    return LocalSandboxes(
        tmp_path / "machines",
        memory_bytes=256 * MIB,
        max_processes=40,
        max_file_bytes=20 * MIB,
        max_disk_bytes=64 * MIB,
    )


@pytest.fixture(params=[True, False], ids=["isolated", "unisolated"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalSandbox]:
    """A machine with isolation, and one without."""
    if request.param:
        request.getfixturevalue("isolation")
    made = await LocalSandboxes(tmp_path / "machines", isolation=request.param).create(
        key="one", metadata={}, timeout_s=300
    )
    yield made
    await made.close()


@pytest.fixture
async def sandbox(provider: LocalSandboxes) -> AsyncIterator[LocalSandbox]:
    made = await provider.create(key="one", metadata={}, timeout_s=300)
    yield made
    await made.close()


def inside(provider: LocalSandboxes, sandbox: LocalSandbox) -> Path:
    """The work tree as the host sees it."""
    return provider.root / sandbox.id / "repo"


async def sh(sandbox: LocalSandbox, line: str, timeout_s: float = 20.0) -> tuple[int, str]:
    ended = await sandbox.exec(["sh", "-c", line], timeout_s=timeout_s)
    return ended.exit_code, ended.output


def resident_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def swappiness() -> str:
    return Path("/proc/sys/vm/swappiness").read_text()


def test_this_host_can_isolate(isolation: None) -> None:
    assert LocalSandboxes.probe() == ""


def test_without_bubblewrap_the_fix_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install bubblewrap" in LocalSandboxes.probe()


async def test_without_bubblewrap_no_machine_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalSandboxes
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="apt-get install bubblewrap") as caught:
        await provider.create(key="one", metadata={}, timeout_s=60)
    assert not caught.value.is_passing


async def test_the_hosts_files_are_not_there(sandbox: LocalSandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    for path in (
        tmp_path / "secret",
        Path.home() / ".ssh",
        Path("/etc/shadow"),
        Path("/var"),
        Path("/sys"),
        Path("/run"),
    ):
        code, output = await sh(sandbox, f"cat {path}/* {path}")
        assert (code, "s3cret" in output) == (1, False), path


async def test_the_system_cannot_be_written(sandbox: LocalSandbox) -> None:
    for path in ("/usr/bin/evil", "/etc/passwd", "/evil", "/dev/evil", "/lib/evil", "/work/evil"):
        code, output = await sh(sandbox, f"echo x > {path}")
        assert code != 0, path
        assert "Read-only" in output, path


async def test_the_kernels_switches_cannot_be_turned(sandbox: LocalSandbox) -> None:
    before = swappiness()
    code, _ = await sh(sandbox, "echo 7 > /proc/sys/vm/swappiness || echo x > /proc/sysrq-trigger")
    assert code != 0
    assert swappiness() == before


async def test_no_capability_is_left_and_none_can_be_had(sandbox: LocalSandbox) -> None:
    _, output = await sh(sandbox, "grep Cap /proc/self/status; unshare -Ur true && echo nested; id -u")
    assert set(output.split("\n")[0].split()) == {"CapInh:", "0000000000000000"}
    assert "nested" not in output
    assert output.endswith("1000\n")


async def test_the_hosts_processes_are_not_seen(sandbox: LocalSandbox) -> None:
    _, output = await sh(sandbox, f"ls -d /proc/[0-9]* | wc -l; kill -9 {os.getpid()} 2>&1; kill -9 -1; echo alive")
    assert int(output.split()[0]) < 10


async def test_the_network_is_closed_even_to_the_hosts_loopback(sandbox: LocalSandbox) -> None:
    listener = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    call = ["python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"]
    async with listener:
        assert "refused" in (await sandbox.exec(call)).output
        await sandbox.set_network(Network(is_open=True))
        assert "refused" in (await sandbox.exec(call)).output


@pytest.mark.usefixtures("isolation")
async def test_the_network_is_the_hosts_only_when_that_is_allowed_and_open(tmp_path: Path) -> None:
    provider = LocalSandboxes(tmp_path / "machines", share_network=True)
    sandbox = await provider.create(key="one", metadata={}, timeout_s=60)
    listener = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    call = ["python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"]
    async with listener:
        assert (await sandbox.exec(call)).exit_code == 0
        for closed in (Network(), Network(hosts=("127.0.0.1",))):
            await sandbox.set_network(closed)
            again = await provider.reconnect(sandbox.id)
            assert (await again.exec(call)).exit_code == 1
    await sandbox.close()


@pytest.mark.parametrize("link", ["/etc/hostname", "{outside}", "../../../../../../../../..{outside}"])
async def test_a_planted_link_leads_nowhere_but_into_the_machine(
    sandbox: LocalSandbox, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("the host's")
    await sh(sandbox, f"ln -s {link.format(outside=outside)} link; ln -s {tmp_path} folder")
    for path in ("link", "folder/outside", str(outside), "../../" + str(outside)):
        with pytest.raises(FileNotFoundError):
            await sandbox.read(path)
    for path in ("link", "folder/outside", "folder/new"):
        with pytest.raises(OSError, match="cannot be written"):
            await sandbox.write(path, b"mine")
    assert outside.read_text() == "the host's"
    assert not (tmp_path / "new").exists()


async def test_an_upload_does_not_follow_a_planted_link(
    sandbox: LocalSandbox, provider: LocalSandboxes, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "new").write_text("x")
    tar = tmp_path / "up.tar"
    packing = await asyncio.create_subprocess_exec("tar", "-cf", str(tar), "-C", str(tree), "new")
    await packing.wait()
    await sh(sandbox, f"ln -s {tmp_path} to")
    with pytest.raises(SandboxError):
        await sandbox.upload(tar, "to")
    assert not (tmp_path / "new").exists()


async def test_its_own_folders_cannot_be_swapped(
    sandbox: LocalSandbox, provider: LocalSandboxes, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    for folder in ("/work/repo", "/work/home", "/tmp", "/dev/shm"):
        code, _ = await sh(sandbox, f"mv {folder} {folder}x || rmdir {folder} || ln -sfn {tmp_path} {folder}/../x")
        assert code != 0, folder
    assert not any((provider.root / sandbox.id / name).is_symlink() for name in ("repo", "home", "tmp", "shm"))


async def test_a_burst_of_processes_is_ended(sandbox: LocalSandbox) -> None:
    line = "i=0; while [ $i -lt 100 ]; do sleep 20 & i=$((i+1)); done; wait"
    code, output = await sh(sandbox, line)
    assert (code, output.splitlines()[-1]) == (137, "[killed: more than 40 processes]")
    assert await sh(sandbox, "echo alive") == (0, "alive\n")


async def test_one_memory_hog_fails_alone(sandbox: LocalSandbox) -> None:
    ended = await sandbox.exec(["python3", "-c", "bytearray(300 << 20)"])
    assert (ended.exit_code, "MemoryError" in ended.output) == (1, True)


RESERVE = "import mmap; mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000); print('reserved')"
"""What AddressSanitizer does as it starts: much address space, none of it memory."""


async def test_address_space_may_be_reserved_where_a_cgroup_bounds_memory(
    provider: LocalSandboxes, sandbox: LocalSandbox
) -> None:
    if not cgroup.bounds_memory(sandbox._cgroups):
        pytest.skip("This machine's cgroups may not be written.")
    assert (await sandbox.exec(["python3", "-c", RESERVE])).exit_code == 1
    assert await sh(sandbox, f'ulimit -d unlimited && python3 -c "{RESERVE}"') == (0, "reserved\n")


async def test_a_memory_hog_that_lifts_its_own_limit_is_ended(sandbox: LocalSandbox) -> None:
    hog = "import time; x = bytearray(400 << 20); time.sleep(20)"
    ended = await sandbox.exec(["sh", "-c", f'ulimit -d unlimited; python3 -c "{hog}"'])
    assert ended.exit_code == 137 or "MemoryError" in ended.output
    assert await sh(sandbox, "echo alive") == (0, "alive\n")


async def test_many_small_memory_hogs_are_counted_together(sandbox: LocalSandbox) -> None:
    hog = "python3 -c 'import time; x = bytearray(90 << 20); time.sleep(20)' &"
    code, output = await sh(sandbox, hog * 3 + " wait")
    assert (code, output.splitlines()[-1]) == (137, "[killed: more than 256 MiB of memory]")


async def test_reading_big_files_is_no_memory(sandbox: LocalSandbox) -> None:
    read = """
import mmap
for n in range(20):
    with open("big", "wb") as file: file.truncate(18 << 20)
    with open("big", "rb") as file: kept = globals().setdefault(f"map{n}", mmap.mmap(file.fileno(), 0, prot=1))
    sum(kept[::4096])
import time; time.sleep(0.3); print("read")
"""
    ended = await sandbox.exec(["python3", "-c", read])
    assert (ended.exit_code, ended.output) == (0, "read\n")


async def test_one_file_is_bounded(sandbox: LocalSandbox, provider: LocalSandboxes) -> None:
    code, _ = await sh(sandbox, "head -c 30000000 /dev/zero > big; exit 0")
    assert (inside(provider, sandbox) / "big").stat().st_size == 20 * MIB
    assert code == 0


async def test_a_flood_of_files_is_ended(sandbox: LocalSandbox) -> None:
    line = "i=0; while [ $i -lt 60 ]; do head -c 10000000 /dev/urandom > f$i; i=$((i+1)); done"
    code, output = await sh(sandbox, line)
    assert (code, output.splitlines()[-1]) == (137, "[killed: more than 64 MiB of files]")


async def test_a_flood_of_output_costs_the_worker_nothing(sandbox: LocalSandbox) -> None:
    forget_peak()
    before = resident_bytes("VmRSS")
    ended = await sandbox.exec(["sh", "-c", "head -c 200000000 /dev/zero"])
    assert ended.cut
    assert resident_bytes("VmHWM") - before < 10 * MIB


async def test_a_machine_ends_with_its_time(provider: LocalSandboxes) -> None:
    with pytest.raises(SandboxError, match="time is over") as caught:
        await provider.create(key="short", metadata={}, timeout_s=0)
    assert caught.value.is_passing
    assert await provider.list() == ()
    assert list(provider.root.iterdir()) == []


async def test_a_machine_that_is_kept_alive_outlives_its_time(provider: LocalSandboxes) -> None:
    made = await provider.create(key="one", metadata={}, timeout_s=60)
    before = (await provider.list())[0]
    await made.keep_alive(1)
    await made.keep_alive(600)
    assert (await provider.list())[0] == before
    await made.close()


@pytest.mark.parametrize("name", ["../../etc", "", ".", "local-zz", "local-" + "a" * 21])
async def test_only_ids_of_machines_reach_the_disk(provider: LocalSandboxes, name: str) -> None:
    with pytest.raises(SandboxError, match="no local sandbox"):
        await provider.kill(name)
    with pytest.raises(SandboxError, match="no local sandbox"):
        await provider.reconnect(name)


async def test_what_a_killed_worker_ran_dies_with_it(provider: LocalSandboxes, sandbox: LocalSandbox) -> None:
    program = f"""
        import asyncio, pathlib
        from app.adapters.sandbox.local.sandboxes import LocalSandboxes
        async def main():
            sandbox = await LocalSandboxes(pathlib.Path({str(provider.root)!r})).reconnect({sandbox.id!r})
            await sandbox.exec(["sh", "-c", "touch started; sleep 0.5; touch late; sleep 30"])
        asyncio.run(main())
    """
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", textwrap.dedent(program))
    async with asyncio.timeout(15):
        while "started" not in (await sh(sandbox, "ls"))[1]:
            pass
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    assert await sh(sandbox, "sleep 0.7; ls") == (0, "started\n")


async def test_another_worker_can_end_what_this_one_runs(provider: LocalSandboxes, sandbox: LocalSandbox) -> None:
    running = asyncio.create_task(sandbox.exec(["sleep", "30"]))
    await sh(sandbox, "true")
    assert await LocalSandboxes(provider.root).kill(sandbox.id)
    async with asyncio.timeout(5):
        assert (await running).exit_code == 137
    assert list(provider.root.iterdir()) == []


async def test_no_isolation_is_never_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = await LocalSandboxes(tmp_path / "machines", isolation=False).create(key="one", metadata={}, timeout_s=60)
    await made.close()
    assert [record.levelname for record in caplog.records if "WITHOUT isolation" in record.message] == ["WARNING"]


async def test_machines_are_for_their_owner_only(provider: LocalSandboxes, sandbox: LocalSandbox) -> None:
    assert [oct(path.stat().st_mode)[-3:] for path in (provider.root, provider.root / sandbox.id)] == ["700", "700"]


# ------------------------------------------------------------------------------------------------------------ one path


async def test_the_work_tree_has_one_path_everywhere(either: LocalSandbox) -> None:
    assert either.work_tree == "/work/repo"
    await either.write("/work/repo/src/fail.py", b"print(__file__)\nraise SystemError\n")
    ended = await either.exec(["python3", "/work/repo/src/fail.py"], cwd="/work/repo/src", env={"AT": "/work/home/x"})
    assert ended.output.startswith("/work/repo/src/fail.py\nTraceback")
    assert 'File "/work/repo/src/fail.py", line 2' in ended.output
    command = 'cd /work/repo && pwd -P; cd src; pwd -P; echo $HOME; echo "$AT"; ls -d /work/repo/src -d'
    ended = await either.exec(["sh", "-c", command], env={"AT": "/work/home/x"})
    assert ended.output.split() == ["/work/repo", "/work/repo/src", "/work/home", "/work/home/x", "/work/repo/src"]


async def test_the_hosts_paths_are_never_shown(either: LocalSandbox, tmp_path: Path) -> None:
    commands = ["cat /proc/self/mountinfo", "env", "pwd -P; ls nowhere; cat /work/repo/nowhere", "df . /work/home"]
    for command in commands:
        _, output = await sh(either, command)
        assert "machines" not in output.replace("/sandbox-machines", ""), output
        assert either.id not in output
    await sh(either, "{ cat /proc/self/mountinfo; pwd -P; } > table")
    assert either.id not in (await either.read("table")).decode()
    with pytest.raises(CommandTimeout) as caught:
        await sh(either, "pwd -P; sleep 30", timeout_s=1)
    assert caught.value.output == "/work/repo\n"
    with pytest.raises(OSError, match="cannot be written") as failed:
        await either.write("/proc/self/nowhere/x", b"")
    assert str(tmp_path) not in str(failed.value)


async def test_bytes_that_are_no_text_are_read_as_they_are(either: LocalSandbox) -> None:
    data = b"\xff /sandboxes/" + either.id.encode() + b"/repo"
    await either.write("pack", data)
    assert await either.read("pack") == data


# -------------------------------------------------------------------------------------------------- keys, system calls


async def test_no_command_shares_a_session_keyring(either: LocalSandbox) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(seccomp.number_of("add_key"), b"user", b"of-the-host", b"host's secret", 13, -3) < 0:
        pytest.skip("this machine has no keyrings for us")
    for _ in range(2):
        ended = await either.exec(["python3", "-c", kernel.keys("of-the-host")])
        assert ended.output == "nothing\n"


@pytest.mark.parametrize("name", ["keys", "key-users"])
async def test_what_the_kernel_tells_of_keys_is_masked(sandbox: LocalSandbox, name: str) -> None:
    code, _ = await sh(sandbox, f"cat /proc/{name}")
    assert code == 1


async def test_system_calls_that_reach_too_far_are_refused(sandbox: LocalSandbox) -> None:
    ended = await sandbox.exec(["python3", "-c", kernel.refusals()])
    told = dict(line.split(": ") for line in ended.output.splitlines())
    assert {*kernel.REFUSED} - {*told} == set()
    assert set(told.values()) == {"EPERM", "ENOSYS"}, told


async def test_only_sockets_of_this_machine_and_of_the_internet_can_be_had(sandbox: LocalSandbox) -> None:
    ended = await sandbox.exec(["python3", "-c", kernel.families()])
    assert {*ended.output.splitlines()} <= {"1 any", "2 any", "10 any", "16 0"}
    assert "1 any" in ended.output


@pytest.mark.parametrize(
    "program",
    [
        "import threading; t = threading.Thread(target=print, args=['ok']); t.start(); t.join()",
        "import multiprocessing as m; p = m.Pool(2); print('ok' if p.map(abs, [-1]) == [1] else ''); p.terminate()",
        "import subprocess; subprocess.run(['echo', 'ok'])",
        "import socket; socket.if_nameindex(); socket.socketpair(); socket.getaddrinfo('localhost', 1); print('ok')",
        "import asyncio; asyncio.run(asyncio.sleep(0)); print('ok')",
        "import ctypes; print('ok' if ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0 else 'cannot be traced')",
    ],
)
async def test_what_programs_need_is_allowed(sandbox: LocalSandbox, program: str) -> None:
    ended = await sandbox.exec(["python3", "-c", program])
    assert (ended.exit_code, ended.output) == (0, "ok\n")


async def test_where_no_filter_can_be_built_sandboxes_work_and_say_so(
    provider: LocalSandboxes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    made = await provider.create(key="one", metadata={}, timeout_s=60)
    _, output = await sh(made, "grep Seccomp: /proc/self/status; ls /proc/self/fd/3 2>&1")
    assert "Seccomp:\t0" in output
    assert "not filtered" in caplog.text
    assert "not filtered" in LocalSandboxes.why_unfiltered()
    await made.close()
