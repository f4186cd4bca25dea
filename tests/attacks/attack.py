"""An attack: what somebody hostile does to a deployment at work, and what must be true afterwards.

Each asserts two things: that the attack failed, and that whoever should know was told (a comment, an answer, a line in
the log or the timeline), or that nothing at all could be seen by anybody, where silence is right.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.attacks.scene import Scene

GROUPS: Final = (
    "ingress",
    "authorization",
    "continuing",
    "reading",
    "sandbox",
    "machine",
    "gate",
    "saying",
    "budgets",
    "keys",
    "parsing",
)
ATTACKS: Final[dict[str, "Attack"]] = {}

CarryOut = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attack:
    """`files` are added to the repository that is attacked, `environ` to the deployment's settings."""

    name: str
    group: str
    about: str
    carry_out: CarryOut
    files: Mapping[str, str | bytes]
    environ: Mapping[str, str]
    is_worker_up: bool


def attack(
    group: str, *, files: Mapping[str, str | bytes] | None = None, is_worker_up: bool = True, **environ: str
) -> Callable[[CarryOut], CarryOut]:
    """Register an attack of a group, under the function's name; its docstring says what is tried.

    Raises:
        ValueError: there is one of that name, or no such group.
    """

    def register(carry_out: CarryOut) -> CarryOut:
        name = getattr(carry_out, "__name__", "").replace("_", "-")
        if name in ATTACKS or group not in GROUPS:
            raise ValueError(f"{group}: {name} cannot be registered.")
        about = " ".join((carry_out.__doc__ or "").split())
        ATTACKS[name] = Attack(name, group, about, carry_out, files or {}, environ, is_worker_up)
        return carry_out

    return register
