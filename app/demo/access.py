"""The App's installations on accounts, and the tokens that speak for them or for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.demo.world import User


@dataclass(eq=False, slots=True)
class Installation:
    id: int
    account: "User"
    permissions: dict[str, str]
    created_at: datetime
    suspended_at: datetime | None = None


@dataclass(eq=False, slots=True)
class Token:
    """A bearer of rights: a person's (`user`), or an installation's, on some repositories, with some permissions."""

    value: str
    user: "User | None" = None
    installation: Installation | None = None
    repo_ids: frozenset[int] | None = None
    permissions: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None
