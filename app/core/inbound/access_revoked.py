"""What takes a repository away from the bot: the runs there end, as nothing more can be done or said. One that was
only renamed is followed.

repository             archived, deleted, transferred
installation           deleted, suspend
installation_repositories                 repositories_removed
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field, JsonValue, ValidationError

from app.core.inbound.events import InstallationChanged, Repository, RepositoryChanged
from app.core.run.job import Job

KIND: Final = "gone"
"""Of the signal to a run in progress; its `by` holds the words."""
_REPOSITORY: Final = frozenset({"archived", "deleted", "transferred"})
_INSTALLATION: Final = {"deleted": "uninstalled", "suspend": "suspended"}


@dataclass(frozen=True, slots=True)
class RevokedAccess:
    """Whose runs end, in words why. Without `repos` all of the installation do."""

    words: str
    installation_id: int = 0
    repos: tuple[str, ...] = ()

    def takes(self, job: Job) -> bool:
        return job.repo in self.repos if self.repos else job.installation_id == self.installation_id


def find_renamed(event: InstallationChanged | RepositoryChanged) -> tuple[str, str] | None:
    """The repository's `owner/name` until now, and from now on; None when it was not renamed."""
    match event:
        case RepositoryChanged(action="renamed", repository=Repository() as repository) if repository.full_name:
            return _name_before(repository.full_name, event.changes), repository.full_name
    return None


class _Owner(BaseModel):
    login: str


class _Changes(BaseModel):
    """What was otherwise before: `repository.name.from`, or `owner.from` as `user` or `organization`."""

    repository: dict[str, dict[str, str]] = Field(default_factory=dict)
    owner: dict[str, dict[str, _Owner | None]] = Field(default_factory=dict)


def find_revoked_access(event: InstallationChanged | RepositoryChanged) -> RevokedAccess | None:
    """What the event takes away, None when it takes nothing."""
    match event:
        case RepositoryChanged(repository=Repository() as repository) if event.action in _REPOSITORY:
            name = _name_before(repository.full_name, event.changes)
            return RevokedAccess(f"The repository was {event.action}.", repos=(name,))
        case InstallationChanged() if event.repositories_removed:
            names = tuple(repo.full_name for repo in event.repositories_removed if repo.full_name)
            return RevokedAccess("The App was removed from this repository.", repos=names) if names else None
        case InstallationChanged() if event.action in _INSTALLATION:
            return RevokedAccess(f"The App was {_INSTALLATION[event.action]}.", event.installation.id)
    return None


def _name_before(full_name: str, changes: Mapping[str, JsonValue]) -> str:
    """The repository's `owner/name` until then."""
    owner, _, name = full_name.partition("/")
    try:
        before = _Changes.model_validate(changes)
    except ValidationError:
        return full_name
    owners = [account.login for account in before.owner.get("from", {}).values() if account]
    return f"{owners[0] if owners else owner}/{before.repository.get('name', {}).get('from', name)}"
