"""The App as GitHub has it registered: what it may do, where it is installed, where it delivers. For `doctor` alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.core.inbound.delivery import DeliveryAttempt


@dataclass(frozen=True, slots=True)
class AppInfo:
    """`settings_url` is the page where its owner changes it.

    `ahead_s` is how far GitHub's clock is before ours, where that was so far that it mattered, else 0.
    """

    slug: str
    html_url: str
    settings_url: str
    permissions: Mapping[str, str]
    events: tuple[str, ...]
    ahead_s: float = 0.0


@dataclass(frozen=True, slots=True)
class InstallationInfo:
    """`html_url` is the page where the account's owner accepts, suspends and removes it."""

    id: int
    account: str
    html_url: str
    is_suspended: bool
    permissions: Mapping[str, str]
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HookInfo:
    """Where GitHub delivers. `content_type` is its word: `json` or `form`."""

    url: str
    content_type: str
    verifies_tls: bool


class Registration(Protocol):
    """Asks GitHub as the App itself. Every method raises `GitHubError` and is repeatable."""

    async def about(self) -> AppInfo:
        """The App whose key this is."""

    async def installations(self) -> tuple[InstallationInfo, ...]:
        """Where it is installed, suspended ones too; at most 1,000."""

    async def try_token(self, installation_id: int) -> int:
        """Mint a token of the installation, count the repositories that it sees, and give the token back."""

    async def files(self, installation_id: int, path: str, *, most: int) -> Mapping[str, bytes]:
        """The file at this path on the default branch of the installation's first `most` repositories, by name; those
        that have none are left out."""

    async def hook(self) -> HookInfo:
        """The webhook."""

    async def deliveries(self, since: datetime) -> tuple[DeliveryAttempt, ...]:
        """GitHub's attempts to deliver since then, newest first, at most 1,000."""
