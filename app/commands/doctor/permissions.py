"""What uses the App's optional permissions: a setting, and the repositories' own files."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app import wiring
from app.core.errors import GitHubError, ParseError, UserError
from app.core.policy import repo_config
from app.core.ports.registration import InstallationInfo, Registration
from app.settings import Settings

MAX_FILES: Final = 50
"""Repositories of one installation whose file is read."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Use:
    """One permission that something here takes; `installation` None: all of them."""

    permission: str
    level: str
    by: str
    installation: InstallationInfo | None = None


async def find_uses(registration: Registration, settings: Settings, living: Sequence[InstallationInfo]) -> list[Use]:
    """What the settings and the repositories' files use beyond what `app.yml` asks for."""
    uses = [Use("workflows", "write", "WORKFLOWS_PERMISSION is set")] if settings.workflows_permission else []
    for each in living:
        if named := await _naming_teams(registration, each.id):
            more = f" and {len(named) - 1} more" if len(named) > 1 else ""
            by = f"{named[0]}{more} asks teams for reviews (pull_request.reviewers of {repo_config.PATH})"
            uses.append(Use("members", "read", by, each))
    return uses


async def _naming_teams(registration: Registration, installation_id: int) -> list[str]:
    """The repositories whose file names a team as a reviewer."""
    try:
        files = await registration.files(installation_id, repo_config.PATH, most=MAX_FILES)
    except GitHubError as error:
        log.info("repositories' files not read", extra={"installation": installation_id, "reason": str(error)})
        return []
    return [repo for repo, config in (await _read(files)).items() if any("/" in name for name in config)]


async def _read(files: Mapping[str, bytes]) -> dict[str, tuple[str, ...]]:
    """The reviewers that each file names; one that cannot be read is told where it is used."""
    found = {}
    async with wiring.open_parsers() as parsers:
        for repo, data in files.items():
            try:
                found[repo] = repo_config.read(await parsers.load_yaml(data)).pull_request.reviewers
            except (ParseError, UserError) as error:
                log.info("repository's file not read", extra={"repo": repo, "reason": str(error)})
    return found
