"""What the model is told before it begins: the task (`Brief`), and what the repository looks like (`survey`)."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from app.core.ports.sandbox import CommandTimeout, Sandbox
from app.text.prompt import Brief

__all__ = ["Brief", "survey"]

MAX_SURVEY_CHARS: Final = 8_000
_MAX_ENTRIES: Final = 80
_MAX_README_CHARS: Final = 2_500
_MAX_LISTING_BYTES: Final = 512 * 1024
_TIMEOUT_S: Final = 20.0
_LOOK: Final = """
git log -n 8 --format='%h %as %s' 2>/dev/null | tr -d '\\0'
printf '\\0'
for file in [Rr][Ee][Aa][Dd][Mm][Ee]*; do
  [ ! -f "$file" ] || { head -c "$1" -- "$file" | tr -d '\\0'; break; }
done
printf '\\0'
git ls-files -co --exclude-standard 2>/dev/null | grep . || find . -type f -not -path '*/.git/*'
"""
"""Of `readme_bytes`: the last commits, the README's head and the paths, in one call, for each waits for the one before.
Paths that git ignores are left out; of a huge repository come the first and the last."""


async def survey(sandbox: Sandbox) -> str:
    """The repository in some lines: its tree two levels deep with counts, languages, README's head, last commits.

    What cannot be found out in time is left out. At most `MAX_SURVEY_CHARS`.

    Raises:
        SandboxError: the machine is gone.
    """
    log, readme, listed = await _look(sandbox)
    paths = (line.removeprefix("./") for line in listed.split("\n"))
    files = [path for path in paths if path and not path.startswith("[... ")]
    parts = [
        ("Tree (files in each folder)", _tree(files)),
        ("Languages (files)", _languages(files)),
        ("Last commits", log.strip("\n")),
        ("README", readme.strip()),
    ]
    text = "\n\n".join(f"## {title}\n{body}" for title, body in parts if body)
    return text[:MAX_SURVEY_CHARS] or "The repository is empty."


async def _look(sandbox: Sandbox) -> tuple[str, str, str]:
    argv = ["sh", "-c", _LOOK, "sh", str(_MAX_README_CHARS)]
    try:
        output = (await sandbox.exec(argv, timeout_s=_TIMEOUT_S, max_output_bytes=_MAX_LISTING_BYTES)).output
    except CommandTimeout as error:
        output = error.output
    log, readme, listed = (*output.split("\0"), "", "")[:3]
    return log, readme, listed


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
