"""All ports together, as `wiring` hands them to the worker.

An adapter translates its vendor's exceptions into `core.errors` at the edge, retries only what may be repeated, and
sets a timeout on everything. "Repeatable" means that a second call after an unclear ending does no harm.
"""

from dataclasses import dataclass, field

from pydantic import SecretStr

from app.core.ports.clock import Clock
from app.core.ports.github import GitHubApp
from app.core.ports.model import Model
from app.core.ports.parsers import Parsers
from app.core.ports.queue import Queue
from app.core.ports.repos import Repos
from app.core.ports.sandbox import SandboxProvider
from app.core.ports.store import Store


@dataclass(frozen=True, slots=True)
class Ports:
    """All of the outside, as `wiring` puts it together."""

    clock: Clock
    github: GitHubApp
    sandboxes: SandboxProvider
    model: Model
    queue: Queue
    store: Store
    repos: Repos
    parsers: Parsers
    secrets: tuple[SecretStr, ...] = field(default=(), repr=False)
    """What must never be said: redacted from all that leaves the program."""
