"""The sandbox's work tree, seen from outside: what is in it, what changed, and putting it to another state.

States are git trees, named by sha. An index of our own keeps the agent's git doings (commits, stashes, branches) from
mattering. Nothing here is trusted: what comes out is compared with what the worker knows itself
(`runs/stages/branch_changes.py`), and inspected by `core/policy/changes.py`, before anything is written.
"""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from app.core.errors import Refused, SandboxError
from app.core.policy.changes import CommitLimits
from app.core.policy.tree_diff import TreeEntry, hash_blob, is_sha, read_claim
from app.core.ports.sandbox import ExecResult, Sandbox
from app.core.safety.escape import code

_CONFIG: Final = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.quotePath=false"),
    *("-c", "advice.addEmbeddedRepo=false"),
)
_EXCLUDE: Final = """# What tools leave behind, in repositories that do not say so themselves.
__pycache__/
*.py[cod]
*.egg-info/
.pytest_cache/
.mypy_cache/
.ruff_cache/
.venv/
node_modules/
.DS_Store
"""
_GIT: Final = f"git {' '.join(_CONFIG)}"
_ADD: Final = f"{_GIT} add --all --ignore-errors"
_MERGE_FILE: Final = """
d=$(mktemp -d) && trap 'rm -rf "$d"' EXIT
mkdir -p "$(dirname "./$1")"
git cat-file blob "$2:$1" > "$d/base" 2>/dev/null
git cat-file blob "$4:$1" > "$d/theirs" 2>/dev/null || { git cat-file blob "$3:$1" > "./$1"; exit 1; }
git cat-file blob "$3:$1" > "$d/ours" 2>/dev/null || exit 1
git merge-file -p -L ours -L before -L theirs "$d/ours" "$d/base" "$d/theirs" > "./$1"
"""
"""Of `path base head theirs`; the file is at `theirs` when it begins."""
_SNAPSHOT: Final = f"{_ADD} && {_GIT} write-tree"
_CHECK_OUT: Final = f"""
mkdir -p .git/info && printf %s "$2" > .git/info/exclude && {_GIT} reset --quiet --hard "$1" || exit
export GIT_INDEX_FILE="$3"
{_GIT} read-tree "$1" && {_SNAPSHOT}
"""
"""Of `sha excluded index`."""
_RESET_TO: Final = f'{_ADD} && {_GIT} read-tree --reset -u "$1"'
_CHECKOUT_PATHS: Final = f"""
tree=$1
shift
{_GIT} cat-file -e "$tree^{{tree}}" || exit
for path; do
  shift
  case $({_GIT} ls-tree "$tree" -- "$path") in
    "" | "040000 tree "*) {_GIT} rm --quiet -r -f --ignore-unmatch -- "$path" || exit ;;
    *) set -- "$@" "$path" ;;
  esac
done
[ $# = 0 ] || {{ rm -rf -- "$@" && {_GIT} checkout "$tree" -- "$@"; }}
"""
"""Of `tree paths…`: what is to be removed goes first, so that it is in nobody's way."""
_RUN_IN_TREES: Final = """
marker=$1 command=$2 index=$3 reset_to=$4 checkout_paths=$5 state=$6
shift 6
said=$(
  export GIT_INDEX_FILE="$index" GIT_NO_REPLACE_OBJECTS=1 GIT_CONFIG_COUNT=1
  export GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="*"
  { sh -c "$reset_to" sh "$state" && { [ $# = 0 ] || sh -c "$checkout_paths" sh "$@"; }; } 2>&1
) && exec sh -c "$command"
printf '%s%s' "$marker" "$said"
exit 1
"""
"""Of `marker command index reset_to checkout_paths state [tree paths…]`: the command's own output alone, or what went
wrong."""
_READ_BLOBS: Final = """
most=$1 total=0 top=0 largest=
shift
for each in $(printf '%s\\n' "$@" | git cat-file --batch-check='%(objectsize):%(objectname)'); do
  size=${each%%:*}
  case $size in
    *[!0-9]*) ;;
    *) total=$((total + size)); [ "$size" -le "$top" ] || { top=$size; largest=${each##*:}; } ;;
  esac
done
echo "$total $largest"
[ "$total" -gt "$most" ] || printf '%s\\n' "$@" | git cat-file --batch | base64 -w0
"""
"""Of `most shas…`: their size in all, the largest one's sha and, unless that size is above `most`, their contents."""
_TIMEOUT_S: Final = 120.0
_LISTING_BYTES: Final = 1_048_576


async def check_out(sandbox: Sandbox, pack: Path, sha: str) -> str:
    """Fill an empty work tree from a packed repository, with `sha` checked out, and return its tree. Repeatable."""
    await sandbox.upload(pack, sandbox.work_tree)
    return _named_tree(await _run(sandbox, ["sh", "-c", _CHECK_OUT, "sh", sha, _EXCLUDE, _index_file(sandbox)]))


async def add_objects(sandbox: Sandbox, pack: Path) -> None:
    """Let the machine's git know the commits of a packed repository, too; nothing else changes. Repeatable."""
    folder = f"{sandbox.work_tree}/.git/vibecoder-incoming"
    await sandbox.upload(pack, folder)
    script = 'cp -R "$1/.git/objects/." .git/objects/; cat "$1/.git/shallow" >> .git/shallow; rm -rf "$1"'
    await _run(sandbox, ["sh", "-c", script, "sh", folder])


async def snapshot(sandbox: Sandbox) -> str:
    """The sha of the tree that the work tree holds now, without what git ignores."""
    return _named_tree(await _git_script(sandbox, _SNAPSHOT))


def _named_tree(output: str) -> str:
    said = output.split()
    if not said or not is_sha(said[-1]):
        raise SandboxError("The sandbox's git named no tree.")
    return said[-1]


async def reset_to(sandbox: Sandbox, tree: str) -> None:
    """Put the work tree to `tree`: files made since are removed, files that git ignores stay."""
    await _git_script(sandbox, _RESET_TO, tree)


async def checkout_paths(sandbox: Sandbox, tree: str, paths: Sequence[str]) -> None:
    """Bring `paths` to their state in `tree`; those that are not in it are removed."""
    if paths:
        await _git_script(sandbox, _CHECKOUT_PATHS, tree, *paths)


async def run_in_trees(
    sandbox: Sandbox, state: str, over: tuple[str, Sequence[str]], command: str, *, timeout_s: float
) -> ExecResult:
    """Put the work tree to `state`, with some paths as they are in another tree (`over`), and run a command there, all
    in one call.

    Raises:
        CommandTimeout: it did not end in time.
    """
    marker = f"[{uuid.uuid4().hex}]"
    shown = [_index_file(sandbox), _RESET_TO, _CHECKOUT_PATHS, state]
    tree, paths = over
    argv = ["sh", "-c", _RUN_IN_TREES, "sh", marker, command, *shown, *((tree, *paths) if paths else ())]
    result = await sandbox.exec(argv, timeout_s=timeout_s)
    if result.exit_code == 1 and result.output.startswith(marker):
        raise SandboxError(f"`git` failed in the sandbox: {result.output.removeprefix(marker).strip()[-500:]}")
    return result


async def apply_paths(sandbox: Sandbox, head: str, paths: Sequence[str]) -> None:
    """Bring what a commit changed, which is at `paths`, into the work tree, keeping what set-up made."""
    for start in range(0, len(paths), 200):
        await checkout_paths(sandbox, head, paths[start : start + 200])


async def merge(
    sandbox: Sandbox, start: str, commits: tuple[str, str, str], alone: Sequence[str], both: Sequence[str]
) -> tuple[str, ...]:
    """Put the work tree to `start` (the third commit after set-up) with what the second of `commits` changed on top;
    the paths where both changed the same lines, which hold git's markers then.

    `commits` are the merge base and the two heads; `alone` are the paths that only the first head changed, `both` those
    that both changed. Renames are not followed.
    """
    await reset_to(sandbox, start)
    await apply_paths(sandbox, commits[1], alone)
    return tuple([path for path in both if not await _merge_file(sandbox, path, *commits)])


async def _merge_file(sandbox: Sandbox, path: str, base: str, head: str, theirs: str) -> bool:
    """Merge one file that both sides changed; whether that went without conflict. One that a side deleted is kept."""
    result = await sandbox.exec(["sh", "-c", _MERGE_FILE, "sh", path, base, head, theirs], timeout_s=_TIMEOUT_S)
    return result.exit_code == 0


async def list_files(sandbox: Sandbox, tree: str) -> tuple[str, ...]:
    """The first paths of a tree, in git's order: as many as one listing holds."""
    listing = await _git(sandbox, "ls-tree", "-r", "-z", "--name-only", tree, may_be_cut=True)
    return tuple(path for path in listing.split("\0") if path)


async def claim_changes(sandbox: Sandbox, before: str, after: str) -> dict[str, TreeEntry | None]:
    """What the sandbox says that differs between two of its trees. It may lie, see `core/policy/tree_diff.py`.

    Raises:
        Refused: no tree can be like that, or it is too long.
    """
    if before == after:
        return {}
    options = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames")
    return read_claim(await _git(sandbox, "diff-tree", *options, before, after))


async def read_blobs(sandbox: Sandbox, named: Mapping[str, str], caps: CommitLimits) -> dict[str, bytes]:
    """The contents that have these shas, hashed here; `named` says at which path each is.

    Raises:
        Refused: they are more than `caps` allow.
        SandboxError: the sandbox gives other contents, or none.
    """
    shas = list(named)
    most = 2 * caps.total_bytes + _LISTING_BYTES
    argv = ["sh", "-c", _READ_BLOBS, "sh", str(caps.total_bytes), *shas]
    told, _, encoded = (await _run(sandbox, argv, max_output_bytes=most)).partition("\n")
    total, _, largest = told.partition(" ")
    if re.fullmatch(r"[0-9]{1,18}", total) and int(total) > caps.total_bytes:
        where = f", most of it at {code(named[largest])}" if largest in named else ""
        raise Refused(f"The change has {int(total):,} bytes in all{where}, more than {caps.total_bytes:,}.")
    try:
        contents = _split_batch(base64.b64decode(encoded, validate=True), len(shas))
    except (binascii.Error, ValueError) as error:
        raise SandboxError("The sandbox's git gave contents that cannot be read.") from error
    if any(sha not in contents or hash_blob(contents[sha], sha) != sha for sha in shas):
        raise SandboxError("The sandbox's git gave other contents than it listed.")
    return contents


def _split_batch(raw: bytes, count: int) -> dict[str, bytes]:
    """Read `<sha> blob <size>\\n<content>\\n`, so many times.

    Raises:
        ValueError: it is not that.
    """
    blobs: dict[str, bytes] = {}
    at = 0
    for _ in range(count):
        end = raw.index(b"\n", at, at + 200)
        sha, kind, size = raw[at:end].decode("ascii").split(" ")
        if kind != "blob" or not re.fullmatch(r"[0-9]{1,15}", size):
            raise ValueError(f"no blob: {kind}")
        start = end + 1
        at = start + int(size) + 1
        blobs[sha] = raw[start : at - 1]
    return blobs


async def _git_script(sandbox: Sandbox, script: str, *argv: str) -> str:
    """Run a few git commands on our index in one go: a call into a sandbox far away costs a round trip."""
    return await _run(sandbox, ["sh", "-c", script, "sh", *argv], env=_index(sandbox))


def _index(sandbox: Sandbox) -> dict[str, str]:
    return {"GIT_INDEX_FILE": _index_file(sandbox)}


def _index_file(sandbox: Sandbox) -> str:
    return f"{sandbox.work_tree}/.git/vibecoder-index"


async def _git(sandbox: Sandbox, *argv: str, is_ours: bool = False, may_be_cut: bool = False) -> str:
    env = _index(sandbox) if is_ours else {}
    return await _run(sandbox, ["git", *_CONFIG, *argv], env=env, may_be_cut=may_be_cut)


async def _run(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    env: dict[str, str] | None = None,
    max_output_bytes: int = _LISTING_BYTES,
    may_be_cut: bool = False,
) -> str:
    safe = {
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    try:
        result = await sandbox.exec(
            argv, env={**safe, **(env or {})}, timeout_s=_TIMEOUT_S, max_output_bytes=max_output_bytes
        )
    except TimeoutError as error:
        raise SandboxError(f"{code(argv[0])} timed out in the sandbox.") from error
    if result.exit_code:
        raise SandboxError(f"`{' '.join(argv[:1])}` failed in the sandbox: {result.output.strip()[-500:]}")
    if result.cut and not may_be_cut:
        raise Refused("The change is too large to inspect. Add generated files to `.gitignore`.")
    return result.output
