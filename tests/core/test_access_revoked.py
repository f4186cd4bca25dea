"""What takes a repository away from the bot."""

import json

import pytest

from app.core.inbound.access_revoked import RevokedAccess, find_renamed, find_revoked_access
from app.core.inbound.events import InstallationChanged, RepositoryChanged, parse

REPO = {"full_name": "acme/greeter", "private": False}
OLD_OWNER = {"from": {"organization": {"login": "old", "id": 7}}}


@pytest.mark.parametrize(
    ("event", "body", "gone"),
    [
        ("repository", {"action": "archived"}, RevokedAccess("The repository was archived.", repos=("acme/greeter",))),
        ("repository", {"action": "deleted"}, RevokedAccess("The repository was deleted.", repos=("acme/greeter",))),
        (
            "repository",
            {"action": "renamed", "changes": {"repository": {"name": {"from": "hello"}}}},
            None,
        ),
        (
            "repository",
            {"action": "transferred", "changes": {"owner": OLD_OWNER}},
            RevokedAccess("The repository was transferred.", repos=("old/greeter",)),
        ),
        ("repository", {"action": "publicized"}, None),
        ("repository", {"action": "edited", "changes": {"default_branch": {"from": "master"}}}, None),
        ("repository", {"action": "edited", "changes": {"topics": {"from": ["a"]}}}, None),
        ("installation", {"action": "deleted"}, RevokedAccess("The App was uninstalled.", 4)),
        ("installation", {"action": "suspend"}, RevokedAccess("The App was suspended.", 4)),
        ("installation", {"action": "unsuspend"}, None),
        (
            "installation_repositories",
            {"action": "removed", "repositories_removed": [{"full_name": "acme/greeter"}]},
            RevokedAccess("The App was removed from this repository.", repos=("acme/greeter",)),
        ),
    ],
)
def test_what_is_taken_away(event: str, body: dict[str, object], gone: RevokedAccess | None) -> None:
    parsed = parse(event, json.dumps({"repository": REPO, "installation": {"id": 4}, **body}).encode())
    assert isinstance(parsed, InstallationChanged | RepositoryChanged)
    assert find_revoked_access(parsed) == gone


def test_what_was_renamed() -> None:
    body = {"repository": REPO, "action": "renamed", "changes": {"repository": {"name": {"from": "hello"}}}}
    parsed = parse("repository", json.dumps(body).encode())
    assert isinstance(parsed, RepositoryChanged)
    assert find_renamed(parsed) == ("acme/hello", "acme/greeter")
