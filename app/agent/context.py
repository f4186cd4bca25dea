"""What the model is told before it begins: the task (`Brief`), and what the repository looks like (`survey`)."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from app.core.machine import CommandTimeout
from app.core.ports import Sandbox
from app.text.prompt import Brief

__all__ = ["Brief", "survey"]

MAX_SURVEY_CHARS: Final = 8_000
_MAX_ENTRIES: Final = 80
_MAX_README_CHARS: Final = 2_500
_MAX_LISTING_BYTES: Final = 512 * 1024
_TIMEOUT_S: Final = 20.0


async def survey(sandbox: Sandbox) -> str:
    """The repository in some lines: its tree two levels deep with counts, languages, README's head, last commits.

    What cannot be found out in time is left out. At most `MAX_SURVEY_CHARS`.

    Raises:
        SandboxError: the machine is gone.
    """
    files = await _files(sandbox)
    parts = [
        ("Tree (files in each folder)", _tree(files)),
        ("Languages (files)", _languages(files)),
        ("Last commits", await _output(sandbox, ["git", "log", "-n", "8", "--format=%h %as %s"])),
        ("README", await _readme(sandbox, files)),
    ]
    text = "\n\n".join(f"## {title}\n{body}" for title, body in parts if body)
    return text[:MAX_SURVEY_CHARS] or "The repository is empty."


async def _output(sandbox: Sandbox, argv: Sequence[str], max_bytes: int = 4_096) -> str:
    try:
        result = await sandbox.exec(argv, timeout_s=_TIMEOUT_S, max_output_bytes=max_bytes)
    except CommandTimeout:
        return ""
    return result.output.strip("\n") if result.exit_code == 0 else ""


async def _files(sandbox: Sandbox) -> list[str]:
    """Paths, without those git ignores; of a huge repository the first and the last."""
    listed = await _output(sandbox, ["git", "ls-files", "-co", "--exclude-standard"], _MAX_LISTING_BYTES)
    if not listed:
        found = await _output(sandbox, ["find", ".", "-type", "f", "-not", "-path", "*/.git/*"], _MAX_LISTING_BYTES)
        listed = "\n".join(line.removeprefix("./") for line in found.split("\n"))
    return [line for line in listed.split("\n") if line and not line.startswith("[... ")]


def _tree(files: Sequence[str]) -> str:
    counts: Counter[str] = Counter()
    for path in files:
        parts = path.split("/")
        counts["/".join(parts[:2]) + "/" if len(parts) > 2 else f"{parts[0]}/" if len(parts) == 2 else path] += 1
    entries = [f"{name} {counts[name]}" if name.endswith("/") else name for name in sorted(counts)]
    more = len(entries) - _MAX_ENTRIES
    return "\n".join([*entries[:_MAX_ENTRIES], *([f"… and {more} more"] if more > 0 else [])])


def _languages(files: Sequence[str]) -> str:
    names = (path.rpartition("/")[2] for path in files)
    suffixes = Counter(name.rpartition(".")[2] for name in names if "." in name[1:])
    return ", ".join(f"{suffix} {count}" for suffix, count in suffixes.most_common(8))


async def _readme(sandbox: Sandbox, files: Sequence[str]) -> str:
    name = next((path for path in files if "/" not in path and path.lower().startswith("readme")), "")
    if not name:
        return ""
    try:
        data = await sandbox.read(name, max_bytes=_MAX_README_CHARS)
    except FileNotFoundError:
        return ""
    return data.decode(errors="replace").replace("\0", "").strip()
