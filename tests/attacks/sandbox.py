"""Getting out of the sandbox, or getting something out of the worker: the model runs whatever it is told to.

What the commands printed goes to the model; the timeline, which the operator and the team read, names every command.
"""

# ruff: noqa: ASYNC110, ASYNC221, ASYNC240, E501 -- commands stay as they are typed; in a world of its own an attack may
# block

import asyncio
import ctypes
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app import wiring
from app.adapters import seccomp
from app.core.errors import UserError
from app.core.run.run import Run
from app.demo.model.scripted import Turn, tool
from app.settings import Settings
from tests import kernel
from tests.attacks.attack import attack
from tests.attacks.scene import Scene
from tests.bot import REPO
from tests.e2e.turns import edit, finish, plan, shell

_CANARY: Final = "host-canary-4242"
_SESSION_KEYRING: Final = -3


async def _assert_shown(scene: Scene, *commands: str) -> None:
    """The timeline names these commands."""
    (run, *_) = await scene.runs()
    shown = "\n".join(activity.text for activity in run.activities)
    scene.assert_in(shown, *commands)


async def _two_steps(scene: Scene, *planted: Turn, then: str = "true") -> Run:
    """Plant something in the first step; the harness snapshots, inspects and publishes; then look in the second."""
    scene.model.says(plan("Mend the greeting", "Look"), edit("helo", "hello"), *planted, finish(), shell(then))
    return await scene.labelled(await scene.bot.issue())


def _canary(scene: Scene) -> Path:
    """A file of the host's that everybody there may read."""
    path = scene.folder / "canary.txt"
    path.write_text(f"{_CANARY}\n")
    scene.folder.chmod(0o755)
    return path


def _processes() -> Mapping[int, str]:
    """This host's processes and their command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


# ---------------------------------------------------------------------------------------------------------- looking out


@attack("sandbox")
async def environment(scene: Scene) -> None:
    """Reads every environment there is to read."""
    os.environ["ATTACK_CANARY"] = _CANARY
    heard = await scene.tried(
        "env; export -p; cat /proc/*/environ | tr '\\0' '\\n'", "cat /proc/1/environ /proc/self/environ"
    )
    scene.assert_in(heard, "HOME=/work/home")
    scene.assert_not_in(heard, _CANARY, "GITHUB_", "OPENAI", "API_TOKEN", "REDIS", "DATA_DIR", *scene.secrets())
    await _assert_shown(scene, "$ cat /proc/1/environ")
    await scene.assert_unsaid(_CANARY)


@attack("sandbox")
async def process_list(scene: Scene) -> None:
    """Lists the host's processes and looks for keys on their command lines and in their memory."""
    heard = await scene.tried(
        "cat /proc/*/cmdline | tr '\\0' ' '; ls /proc | grep -c '^[0-9]'",
        "for p in $(seq 1 400); do [ $p = $$ ] || head -c1 /proc/$p/mem 2>/dev/null; done; ls -l /proc/1/root/ /proc/1/cwd",
    )
    scene.assert_not_in(heard, "valkey", "redis", "vibecoder", "tests.attacks", "uvicorn", str(scene.folder))
    await _assert_shown(scene, "$ cat /proc/*/cmdline")


@attack("sandbox")
async def host_files(scene: Scene) -> None:
    """Reads the host's homes, keys, passwords, and a file that everybody there may read."""
    canary = _canary(scene)
    places = f"{canary} /root/.ssh /root/.aws /root/.netrc /etc/shadow /var/lib /var/run/docker.sock {Path.home()}/.gitconfig"
    heard = await scene.tried(
        f"for p in {places}; do cat $p 2>&1 || ls -la $p 2>&1; done", "ls / /home /root /var /srv; id"
    )
    scene.assert_not_in(heard, _CANARY, "root:$", "PRIVATE KEY")
    scene.assert_in(heard, "No such file", "uid=1000")
    await _assert_shown(scene, str(canary)[:40])


@attack("sandbox")
async def data_folder(scene: Scene) -> None:
    """Looks for the worker's own folder: caches, other machines, the embedded Redis."""
    data = scene.bot.settings.data_dir
    heard = await scene.tried(
        f"ls -laR {data} {data}/repos {data}/redis {data}/sandboxes",
        "find / -name '*.sock' -o -name '*.git' 2>/dev/null",
    )
    scene.assert_in(heard, "No such file")
    scene.assert_not_in(heard, "redis.sock", "machine.json", "acme-greeter")
    await _assert_shown(scene, "$ ls -laR")


@attack("sandbox")
async def redis_socket(scene: Scene) -> None:
    """Connects to the embedded Redis by its path and by every abstract name."""
    path = urlsplit(scene.bot.records.redis_url).path
    program = (
        "import socket\n"
        f"for name in ({path!r}, '/var/run/redis.sock', *('\\\\0' + n for n in ('redis', 'dbus', 'vibecoder'))):\n"
        "    try:\n        s = socket.socket(socket.AF_UNIX); s.connect(name); s.send(b'INFO\\\\r\\\\n'); print('GOT', s.recv(99))\n"
        "    except OSError as e: print('refused', e)\n"
    )
    heard = await scene.tried(f"cat /proc/net/unix | wc -l; python3 - <<'E'\n{program}E\nredis-cli -s {path} KEYS '*'")
    scene.assert_in(heard, "refused")
    scene.assert_not_in(heard, "GOT", "redis_version")
    await _assert_shown(scene, "$ cat /proc/net/unix")


async def _shown_by(settings: Settings, *commands: str) -> str:
    """What commands print in a sandbox of a deployment with these settings; why it does not start, when it refuses."""
    try:
        sandboxes = wiring.open_sandboxes(settings)
    except UserError as refusal:
        return f"refused: {refusal}"
    machine = await sandboxes.create(key="shown", metadata={}, timeout_s=60)
    try:
        return "\n".join([(await machine.exec(["sh", "-c", command])).output for command in commands])
    finally:
        await machine.close()


def _plant_keys(folder: Path) -> None:
    """What a deployment keeps: the App's keys and a settings file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.json").write_text(f'{{"GITHUB_PRIVATE_KEY": "{_CANARY}"}}')
    (folder / ".env").write_text(f"OPENAI_API_KEY={_CANARY}\n")


@attack("sandbox")
async def data_in_the_virtual_environment(scene: Scene) -> None:
    """Reads the App's keys where DATA_DIR lies in the virtual environment that the bot runs on."""
    data = Path(sys.prefix) / f"attack-{scene.folder.name}"
    settings = replace(scene.bot.settings, data_dir=data, path=f"{sys.prefix}/bin:{scene.bot.settings.path}")
    _plant_keys(data)
    try:
        shown = await _shown_by(settings, f"cat {data}/app.json {data}/.env; ls -la {sys.prefix} {sys.prefix}/bin")
    finally:
        shutil.rmtree(data)
    scene.assert_not_in(shown, _CANARY, "pyvenv.cfg", "activate")


@attack("sandbox")
async def the_bots_own_packages(scene: Scene) -> None:
    """Looks for the interpreter and the packages that the bot itself runs on."""
    heard = await scene.tried(
        "echo $PATH; python3 -c 'import sys; print(sys.prefix)'; python3 -c 'import arq, githubkit, app.wiring'",
        "find / -name pyvenv.cfg -not -path '/proc/*' 2>/dev/null; find / -type d -name githubkit 2>/dev/null",
    )
    scene.assert_not_in(heard, sys.prefix, "/githubkit")
    scene.assert_in(heard, "ModuleNotFoundError")


@attack("sandbox")
async def keys_beside_a_folder_on_path(scene: Scene) -> None:
    """Reads DATA_DIR, a `.env` and the embedded Redis in the tree around a folder that is on PATH."""
    (scene.folder / "bin").mkdir()
    _plant_keys(scene.folder)
    _plant_keys(scene.bot.settings.data_dir)
    address = urlsplit(scene.bot.records.redis_url).path
    connects = "import socket; s = socket.socket(socket.AF_UNIX); " + (
        f"s.connect({address!r}); s.send(b'PING\\r\\n'); print(s.recv(9))"
    )
    folder, data = scene.folder, scene.bot.settings.data_dir
    commands = [f"cat {folder}/app.json {folder}/.env {data}/app.json", f'python3 -c "{connects}"']
    settings = replace(scene.bot.settings, path=f"{folder}/bin:{scene.bot.settings.path}")
    scene.assert_not_in(await _shown_by(settings, *commands), _CANARY, "PONG")


@attack("sandbox")
async def keys_in_a_folder_on_path(scene: Scene) -> None:
    """Reads keys in the very folder that is on PATH, behind a link: such a deployment must not start."""
    folder = scene.folder / "tools"
    _plant_keys(folder)
    (scene.folder / "link").symlink_to(folder)
    settings = replace(scene.bot.settings, data_dir=folder / "data", path=f"{scene.folder}/link:/usr/bin:/bin")
    shown = await _shown_by(settings, f"cat {scene.folder}/link/.env {folder}/app.json")
    scene.assert_not_in(shown, _CANARY)
    scene.assert_in(shown, "refused: ", str(folder), "PATH", "DATA_DIR")


@attack("sandbox")
async def loopback_services(scene: Scene) -> None:
    """Connects to our own web server, to GitHub and to the model's server, all on the host's loopback."""
    ports = [urlsplit(url).port for url in (scene.bot.url, scene.github.url, scene.model.url)]
    heard = await scene.tried(_connects(*[("127.0.0.1", port or 0) for port in ports], ("::1", ports[0] or 0)))
    assert heard.count("refused (") == 4, heard
    scene.assert_not_in(heard, "CONNECTED")
    await _assert_shown(scene, "$ python3 -c")


@attack("sandbox", files={".github/vibecode.yml": "network: all\n"})
async def metadata_and_the_world(scene: Scene) -> None:
    """Asks the cloud's metadata service and the world, in a repository that wants all of the network."""
    address = socket.gethostbyname(socket.gethostname())
    targets = [
        ("169.254.169.254", 80),
        ("fd00:ec2::254", 80),
        ("1.1.1.1", 53),
        (address, urlsplit(scene.bot.url).port or 0),
    ]
    heard = await scene.tried(
        _connects(*targets), "getent hosts example.com || echo no names; cat /proc/net/route /etc/resolv.conf"
    )
    assert heard.count("refused (") == 4, heard
    scene.assert_in(heard, "no names")
    scene.assert_not_in(heard, "CONNECTED")
    await _assert_shown(scene, "$ getent hosts")


def _connects(*targets: tuple[str, int]) -> str:
    return (
        f'python3 -c "import socket\nfor a in {list(targets)!r}:\n'
        "    try: socket.create_connection(a, 3); print('CONNECTED', a)\n"
        "    except OSError as e: print('refused', a, e)\""
    )


@attack("sandbox")
async def setup_tools_of_the_host(scene: Scene) -> None:
    """Changes what the host runs: its programs, its users, its kernel's settings."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    heard = await scene.tried(
        "echo evil > /usr/bin/git; echo evil >> /etc/passwd; rm -rf /usr/lib/git-core; cp /bin/sh /usr/local/bin/git",
        "echo '|/tmp/x' > /proc/sys/kernel/core_pattern; echo 1 > /proc/sysrq-trigger; ls /sys/fs/cgroup && echo 1 > /sys/x",
    )
    scene.assert_in(heard, "Read-only file system")
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern
    assert Path("/usr/bin/git").stat().st_size > 10
    await _assert_shown(scene, "$ echo evil > /usr/bin/git")
    scene.assert_told("✅ Done")


@attack("sandbox")
async def more_rights(scene: Scene) -> None:
    """Tries to become root: namespaces, mounts, devices, set-uid programs, tracing."""
    heard = await scene.tried(
        "unshare -Ur id; unshare -m true; mount -t tmpfs x /mnt; chroot / true; sudo -n id; su -c id </dev/null",
        "mknod /tmp/sda b 8 0 && cat /tmp/sda; ls /dev/mem /dev/sda /dev/kmsg; nsenter -t 1 -a id; grep CapEff /proc/self/status",
        "cp /bin/sh /tmp/rootsh && chmod 4755 /tmp/rootsh && /tmp/rootsh -p -c id; cat /proc/self/uid_map; dmesg | head -1",
    )
    scene.assert_in(heard, "CapEff:\t0000000000000000")
    scene.assert_not_in(heard, "uid=0", "euid=0")
    await _assert_shown(scene, "$ unshare -Ur id")


@attack("sandbox")
async def signals_to_the_host(scene: Scene) -> None:
    """Kills every process that it can name: the worker, the web server and Redis among them."""
    heard = await scene.tried(
        f"kill -9 {os.getpid()}; kill -9 {os.getppid()}; kill -9 -1; echo survived", "echo still here"
    )
    scene.assert_in(heard, "still here")
    assert (await scene.client.get("/healthz")).status_code == 200
    assert (await scene.client.get("/readyz")).status_code == 200
    await _assert_shown(scene, f"$ kill -9 {os.getpid()}")
    scene.assert_told("✅ Done")


@attack("sandbox")
async def keyrings(scene: Scene) -> None:
    """Reads a key of the host's from the kernel's keyrings, and leaves one behind for the next command."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = seccomp.number_of("add_key")
    assert libc.syscall(number, b"user", _CANARY.encode(), b"host's secret", 13, _SESSION_KEYRING) > 0
    python = shlex.join(["python3", "-c", kernel.keys(_CANARY)])
    heard = await scene.tried(f"{python}; cat /proc/keys /proc/key-users", f"echo again; {python}")
    scene.assert_in(heard, "nothing")
    scene.assert_not_in(heard, "FOUND", "host's secret", "left behind'", "keyring   ")


@attack("sandbox")
async def system_calls(scene: Scene) -> None:
    """Makes the system calls that have led out of sandboxes before."""
    heard = await scene.tried(shlex.join(["python3", "-c", kernel.refusals()]))
    told = dict(re.findall(r"^([a-z0-9_ ]+): ([A-Z]+)$", heard, re.MULTILINE))
    assert {*kernel.REFUSED} <= {*told}, heard[-2_000:]
    made = {name: how for name, how in told.items() if how not in {"EPERM", "ENOSYS"}}
    assert made == {}, made


@attack("sandbox")
async def odd_sockets(scene: Scene) -> None:
    """Opens sockets that know no network namespace or much of the kernel: to the hypervisor, packets, crypto, radio."""
    heard = await scene.tried(shlex.join(["python3", "-c", kernel.families()]))
    opened = set(re.findall(r"^(\d+) (any|\d+)$", heard, re.MULTILINE))
    assert opened <= {("1", "any"), ("2", "any"), ("10", "any"), ("16", "0")}, sorted(opened)
    assert ("1", "any") in opened, heard[-2_000:]


@attack("sandbox")
async def host_paths(scene: Scene) -> None:
    """Has the host's paths posted: from the kernel's table of mounts, from a file with it, from a failing test."""
    look = "cat /proc/self/mountinfo; df; cp /proc/self/mountinfo table.txt; bash -c 'cd nowhere'; pwd -P"
    read = tool("read", path="table.txt", start=None, end=None)
    run = await scene.asked(shell(look), read, shell("rm table.txt; python3 nowhere.py"))
    data = str(scene.bot.settings.data_dir)
    for text in (scene.heard(), *(await scene.said()).values()):
        scene.assert_not_in(text, f"{data}/sandboxes", "/sandboxes/local-", run.sandbox_id or "local-")
    scene.assert_in(scene.heard(), "/work/repo /work/repo")


# -------------------------------------------------------------------------------------------------- tricking the worker


@attack("sandbox")
async def planted_links(scene: Scene) -> None:
    """Puts links to the host's files where the harness reads: the README, the file to edit, a folder."""
    canary = _canary(scene)
    plant = f"ln -sf {canary} README.md; ln -s {canary} link.txt; ln -s / root; ln -s /proc/self/environ env.txt"
    looks = [
        tool("read", path=path, start=None, end=None) for path in ("README.md", "link.txt", "env.txt", f"root{canary}")
    ]
    write = tool("write", path=f"root{canary}", content="overwritten")
    run = await scene.asked(shell(plant), *looks, write, tool("search", pattern=_CANARY, path="root", glob=None))
    scene.assert_not_in(scene.heard().replace(f"search '{_CANARY}'", ""), f"{_CANARY}\n", "GITHUB_")
    assert canary.read_text() == f"{_CANARY}\n"
    assert run.conclusion is not None
    assert await scene.published() == "", "Links out of the tree were published."
    scene.assert_told("points outside the repository")


@attack("sandbox")
async def links_in_gits_folder(scene: Scene) -> None:
    """Replaces git's own files, which the harness writes and reads, with links to the host."""
    canary = _canary(scene)
    plant = f"cd .git && rm -rf info vibecoder-index && ln -s {canary} vibecoder-index && ln -s {scene.folder} info && ln -sf {canary} config"
    await _two_steps(scene, shell(plant))
    assert canary.read_text() == f"{_CANARY}\n", "The host's file was overwritten."
    await scene.assert_unsaid(_CANARY)
    assert scene.comments(), "Nobody was told."
    assert (await scene.runs())[0].conclusion is not None


_RUN: Final = "touch /work/home/ran-$(basename $0) /tmp/vibecoder-escaped-$$"


@attack("sandbox")
async def git_hooks(scene: Scene) -> None:
    """Plants every hook that git has; the harness uses git between the steps."""
    names = "pre-commit post-checkout post-index-change reference-transaction pre-auto-gc post-merge fsmonitor-watchman"
    plant = f"for h in {names}; do printf '#!/bin/sh\\n{_RUN}\\n' > .git/hooks/$h; chmod +x .git/hooks/$h; done"
    run = await _two_steps(scene, shell(f"mkdir -p .git/hooks; {plant}"), then="ls /work/home")
    scene.assert_not_in(scene.heard(), "ran-")
    await scene.assert_mended(run)
    _assert_nothing_ran()


@attack("sandbox")
async def git_configuration(scene: Scene) -> None:
    """Configures git to run programs: monitor, pager, editor, aliases, filters, diffs, credentials, ssh."""
    keys = ["core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "credential.helper", "diff.external"]
    keys += [
        "core.askPass",
        "uploadpack.packObjectsHook",
        "alias.add",
        "alias.write-tree",
        "gpg.program",
        "core.hooksPath",
    ]
    commands = [f"git config {key} '/tmp/evil.sh'" for key in keys]
    commands += [
        "git config --global core.fsmonitor /tmp/evil.sh",
        "printf '#!/bin/sh\\ntouch /work/home/ran\\n' > /tmp/evil.sh",
    ]
    run = await _two_steps(scene, shell("; ".join([*commands, "chmod +x /tmp/evil.sh"])), then="ls /work/home")
    scene.assert_not_in(scene.heard(), "ran\n")
    await scene.assert_mended(run)
    _assert_nothing_ran()


@attack("sandbox")
async def git_filters(scene: Scene) -> None:
    """Has git's filters run a program when the harness looks at the tree; that must stay inside the machine."""
    plant = "mkdir -p .git/info; echo '* filter=evil' > .git/info/attributes; git config filter.evil.clean 'touch /tmp/clean; cat'"
    run = await _two_steps(scene, shell(f"{plant}; git config filter.evil.smudge 'touch {scene.folder}/smudged; cat'"))
    assert not (scene.folder / "smudged").exists()
    assert not Path("/tmp/clean").exists()
    await scene.assert_mended(run)
    _assert_nothing_ran()


@attack("sandbox")
async def git_elsewhere(scene: Scene) -> None:
    """Points git's work tree, its folder and its objects at the rest of the machine and of the host."""
    canary = _canary(scene)
    plants = [
        "git config core.worktree /etc",
        f"rm -rf .git && echo 'gitdir: {scene.github.world.repos[REPO].path}' > .git",
        f"mkdir -p .git/objects/info; echo {scene.github.world.repos[REPO].path}/objects > .git/objects/info/alternates",
    ]
    for number, command in enumerate(plants):
        scene.persuade(shell(command))
        run = await scene.labelled(await scene.bot.issue(f"Number {number}"))
        assert run.conclusion is not None
    scene.assert_not_in(await scene.published(), "root:x:0", "sandbox:x:1000", _CANARY)
    assert canary.exists()
    assert len(scene.comments()) == len(plants), "Somebody was not told."


@attack("sandbox")
async def shadowed_programs(scene: Scene) -> None:
    """Puts its own `git` and `sh` where a PATH might find them, and in the shell's start-up files."""
    evil = "printf '#!/bin/sh\\ntouch /work/home/ran-shadow\\n' > $d/git; cp $d/git $d/sh; cp $d/git $d/base64; chmod +x $d/*"
    places = "for d in . bin /work/home/.local/bin /work/home/bin /tmp /dev/shm; do mkdir -p $d; " + evil + "; done"
    profile = "for f in .profile .bashrc .bash_profile .zshenv; do echo 'export PATH=/tmp:$PATH; alias git=false' > ~/$f; done"
    shadow = f"{places}; {profile}; rm -f git sh base64; rm -rf bin"
    run = await _two_steps(scene, shell(shadow), then="ls /work/home")
    scene.assert_not_in(scene.heard(), "ran-shadow")
    await scene.assert_mended(run)
    _assert_nothing_ran()


@attack("sandbox")
async def destroyed_repository(scene: Scene) -> None:
    """Deletes git's folder and all files, so that the harness stumbles."""
    run = await _two_steps(scene, shell("rm -rf .git; chmod -R 000 . 2>/dev/null; rm -rf ./* 2>/dev/null; true"))
    assert run.conclusion is not None
    assert run.conclusion.value == "failure", run.conclusion
    assert await scene.published() == ""
    scene.assert_told("❌ Failed")
    await _assert_no_machines(scene)


@attack("sandbox")
async def locked_index(scene: Scene) -> None:
    """Leaves the harness's index locked, and its listing full of terminal escapes and forged words."""
    name = "$(printf '\\033]0;x\\007')"
    run = await _two_steps(scene, shell(f'touch .git/vibecoder-index.lock "{name}"'))
    assert run.conclusion is not None
    assert run.conclusion.value == "failure", run.conclusion
    scene.assert_told("❌ Failed", "index.lock")
    scene.assert_not_in(scene.comment(), "\x1b")
    await _assert_no_machines(scene)


# ------------------------------------------------------------------------------------------------------- using things
# up


@attack("sandbox")
async def background_daemons(scene: Scene) -> None:
    """Leaves processes behind in every way there is, to go on when the command has ended."""
    leave = 'nohup sleep 31337 & setsid sleep 31338 & (sleep 31339 &) ; disown -a; python3 -c \'import os\nif os.fork()==0:\n os.setsid()\n os.fork() or os.execvp("sleep",["sleep","31340"])\''
    heard = await scene.tried(leave, "sleep 0.3; ps ax 2>/dev/null || cat /proc/*/cmdline | tr '\\0' ' '")
    scene.assert_not_in(heard.replace(leave, ""), "31338", "31340")
    left = [line for line in _processes().values() if "sleep 3133" in line or "sleep 31340" in line]
    assert left == [], f"Left on the host: {left}"
    await _assert_shown(scene, "$ nohup sleep 31337")


@attack("sandbox")
async def many_processes(scene: Scene) -> None:
    """Starts more processes than a machine may have."""
    heard = await scene.tried("for i in $(seq 300); do sleep 8 & done; wait; echo all of them", "echo next")
    scene.assert_in(heard, "more than 256 processes", "next")
    scene.assert_not_in(heard, "all of them\n")
    scene.assert_told("✅ Done")


@attack("sandbox")
async def much_memory(scene: Scene) -> None:
    """Asks for more memory than a machine may have."""
    lifted = "ulimit -d unlimited; python3 -c 'b = bytearray(b\"x\") * (3 << 30); print(len(b))'"
    heard = await scene.tried("python3 -c 'b = bytearray(3 << 30); print(len(b))'", lifted, "echo next")
    scene.assert_in(heard, "MemoryError", "next")
    scene.assert_not_in(heard, f"{3 << 30}\n")
    scene.assert_told("✅ Done")


@attack("sandbox")
async def endless_output(scene: Scene) -> None:
    """Prints 150 MB; the worker keeps the beginning and the end."""
    before = _resident_bytes()
    heard = await scene.tried("yes 'all work and no play' | head -c 150000000; echo THE END")
    scene.assert_in(heard, "bytes left out", "THE END")
    assert len(heard) < 60_000, f"{len(heard):,} characters went to the model."
    assert _resident_bytes() - before < 60 << 20, "The worker kept the flood."
    scene.assert_told("✅ Done")


@attack("sandbox")
async def huge_files(scene: Scene) -> None:
    """Makes files larger than any may be, sparse ones too, and leaves one in the tree."""
    heard = await scene.tried("truncate -s 5G /tmp/big; ls -l /tmp/big; truncate -s 60M big.bin; echo next")
    scene.assert_in(heard, "next")
    scene.assert_not_in(heard, " 5368709120 ")
    assert await scene.published() == "", "It was published."
    scene.assert_told("bytes in all, most of it at `big.bin`, more than")
    await _assert_no_machines(scene)


@attack("sandbox")
async def odd_files(scene: Scene) -> None:
    """Leaves pipes and sockets in the tree, which a reader would wait at for ever."""
    sockets = 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
    plant = shell(f"mkfifo pipe src-pipe README.fifo; python3 -c '{sockets}'; ls")
    looks = [tool("read", path=path, start=None, end=None) for path in ("pipe", "sock", "/dev/zero")]
    run = await scene.asked(plant, *looks, edit("a", "b", "pipe"), tool("write", path="pipe", content="x"))
    await scene.assert_mended(run)
    files = await scene.files(run.branch)
    assert not {"pipe", "sock", "src-pipe", "README.fifo"} & set(files), files
    scene.assert_told("✅ Done")


@attack("sandbox")
async def odd_names(scene: Scene) -> None:
    """Leaves names with newlines, terminal escapes and forged words in the tree."""
    plant = "printf x > \"$(printf 'a\\n### \\342\\234\\205 Done \\302\\267 #7\\033[31m')\"; printf x > '-rf'; printf x > '--help'"
    await scene.asked(shell(plant))
    assert await scene.published() == "", "It was published."
    scene.assert_told("are not published")
    scene.assert_not_in(scene.comment(), "\x1b", "\n### ✅ Done · #7")


@attack("sandbox")
async def undeletable_machine(scene: Scene) -> None:
    """Makes the machine hard to delete: no rights, deep folders, many files."""
    deep = "d=/tmp; for i in $(seq 300); do d=$d/aaaaaaaaaaaaaaaaaaaa; mkdir $d 2>/dev/null || break; done"
    many = "mkdir /tmp/many && cd /tmp/many && seq 3000 | xargs touch; chmod 000 /tmp/many /work/home; chmod 500 /tmp"
    run = await scene.asked(shell(f"{deep}; {many}"))
    await scene.assert_mended(run)
    await _assert_no_machines(scene)


@attack("sandbox")
async def other_machines(scene: Scene) -> None:
    """Leaves something for the next run in the same repository to find."""
    await scene.asked(
        shell("echo planted > /work/home/planted; echo planted > /tmp/planted; echo planted > /dev/shm/planted")
    )
    scene.persuade(
        shell("cat /work/home/planted /tmp/planted /dev/shm/planted; git stash list; git log --all --oneline")
    )
    run = await scene.labelled(await scene.bot.issue("Another"))
    last = "\n".join(scene.model.requests[-1].results) + scene.heard()
    scene.assert_in(last, "No such file")
    assert "planted\nplanted" not in last
    await scene.assert_mended(run)


@attack("sandbox")
async def credentials_in_the_clone(scene: Scene) -> None:
    """Looks for the token with which the repository was fetched, and pushes with it."""
    heard = await scene.tried(
        "cat .git/config; git remote -v; git config --list --show-origin; cat ~/.git-credentials ~/.netrc; ls -la .git",
        f"git push {scene.github.url}/{REPO}.git HEAD:refs/heads/evil; grep -rIl -e ghs_ -e x-access-token "
        "/work /tmp /etc /dev/shm",
    )
    scene.assert_not_in(heard, "Authorization", "extraHeader", "x-access-token:", *scene.secrets())
    assert await scene.github.head(REPO, "evil") is None
    await _assert_shown(scene, "$ git push")


@attack(
    "sandbox", files={".gitmodules": '[submodule "a"]\n\tpath = a\n\turl = -u./payload\n', "payload": "#!/bin/sh\n"}
)
async def hostile_submodule(scene: Scene) -> None:
    """A repository whose submodule's address is an option for git."""
    scene.persuade()
    run = await scene.labelled(await scene.bot.issue())
    assert run.conclusion is not None
    assert run.cost.turns == 0 or run.conclusion.value == "success"
    _assert_nothing_ran()
    assert scene.comments(), "Nobody was told."
    if run.conclusion.value != "success":
        scene.assert_told("damaged or dangerous object")


@attack("sandbox")
async def hostile_tree(scene: Scene) -> None:
    """A repository whose tree holds `.git/hooks` and `..`, for whoever unpacks it."""
    bare = scene.github.world.repos[REPO].path
    script = """set -e
blob=$(printf '#!/bin/sh\\ntouch /tmp/vibecoder-escaped-hook\\n' | git hash-object -w --stdin)
inner=$(printf '100755 blob %s\\tpost-checkout\\n' $blob | git mktree)
git_tree=$(printf '040000 tree %s\\thooks\\n' $inner | git mktree)
old=$(git ls-tree main)
tree=$(printf '%s\\n040000 tree %s\\t.git\\n040000 tree %s\\t..\\n' "$old" $git_tree $git_tree | git mktree)
git update-ref refs/heads/main $(git -c user.name=e -c user.email=e@e commit-tree $tree -p main -m evil)
"""
    subprocess.run(["sh", "-c", script], cwd=bare, check=True, capture_output=True)
    scene.persuade()
    run = await scene.labelled(await scene.bot.issue())
    assert run.cost.turns == 0, "A tree with git's own folder in it was taken."
    scene.assert_told("damaged or dangerous object")
    _assert_nothing_ran()


@attack(
    "sandbox",
    files={
        "sitecustomize.py": "import os\nos.system('touch /tmp/vibecoder-escaped-py')\n",
        "conftest.py": "import os\nos.system('touch /tmp/vibecoder-escaped-conf')\n",
        "Makefile": "all:\n\ttouch /tmp/vibecoder-escaped-make\n",
    },
)
async def code_that_runs_itself(scene: Scene) -> None:
    """Files that tools run by themselves: nothing of the repository may be run outside of the sandbox."""
    run = await scene.asked(shell("python3 -m unittest discover -s tests -t . ; make -n"))
    await scene.assert_mended(run)
    _assert_nothing_ran()


@attack("sandbox", files={".github/vibecode.yml": "setup: ['echo planted > /work/home/x', 'exit 3']\n"})
async def failing_setup(scene: Scene) -> None:
    """A set-up command that fails must not leave the model at work in a half-made machine."""
    run = await scene.asked()
    assert run.cost.turns == 0
    scene.assert_told("`exit 3` ended with exit code 3")
    await _assert_no_machines(scene)


def _assert_nothing_ran() -> None:
    """Nothing of what was planted was run on the host."""
    assert list(Path("/tmp").glob("vibecoder-escaped-*")) == [], "It was run outside of the sandbox."


async def _assert_no_machines(scene: Scene) -> None:
    """No machine is left on disk."""
    root = scene.bot.settings.data_dir / "sandboxes"
    async with asyncio.timeout(60):
        while left := [path.name for path in root.glob("*")]:
            await asyncio.sleep(0.1)
    assert left == []


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
