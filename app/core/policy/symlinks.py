"""By which other paths a file is read: symbolic links of the same tree lead to it, or to a folder that it lies in."""

from collections.abc import Mapping
from typing import Final

MAX_HOPS: Final = 40
"""As many links as Linux follows for one path; a loop ends there."""
MAX_NAMES: Final = 200
MAX_CHARS: Final = 1_024


def resolve(links: Mapping[str, str], path: str) -> str | None:
    """Where a link of the tree leads to in the end; None for a loop, the root and what lies outside. `links` maps a
    link's path to its target as it is written. What is there may not exist."""
    rest, at, hops = path.split("/")[::-1], list[str](), 0
    while rest:
        part = rest.pop()
        if part == "..":
            if not at:
                return None
            at.pop()
        elif part not in {"", "."}:
            at.append(part)
            target = links.get("/".join(at))
            if target is not None:
                hops += 1
                if hops > MAX_HOPS or target.startswith("/") or len(target) > MAX_CHARS:
                    return None
                at.pop()
                rest += target.split("/")[::-1]
    return "/".join(at) or None


def find_names(path: str, resolved: Mapping[str, str]) -> tuple[str, ...]:
    """Every other path by which a path is read. `resolved` maps each link to where it leads.

    Bounded: links that lead into a folder around themselves make names without end.
    """
    found = [path]
    for name in found:  # grows meanwhile
        for link, real in resolved.items():
            other = link + name[len(real) :]
            is_read_so = name == real or name.startswith(f"{real}/")
            if is_read_so and other not in found and len(other) <= MAX_CHARS and len(found) <= MAX_NAMES:
                found.append(other)
    return tuple(found[1:])
