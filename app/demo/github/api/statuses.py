"""Commit statuses: what CI systems outside of GitHub's checks say of a commit, by context.

https://docs.github.com/en/rest/commits/statuses, https://docs.github.com/en/webhooks/webhook-events-and-payloads#status
"""

from typing import Final

from starlette.responses import Response

from app.demo.github import git_shapes
from app.demo.github.api.commits import resolve
from app.demo.github.call import Call, Row
from app.demo.github.responses import page, reply
from app.demo.github.shapes import Json, Shapes, stamp
from app.demo.github.state.records import Delivery, Repo, Status, node_id
from app.demo.github.state.world import World
from app.demo.github.webhooks import Courier

STATES: Final = ("error", "failure", "pending", "success")


class Statuses:
    """The hands of CI systems that report statuses. What they do returns once the webhook of it was answered."""

    def __init__(self, world: World, shapes: Shapes, courier: Courier) -> None:
        self._world = world
        self._shapes = shapes
        self._courier = courier

    async def report(self, repo: str, ref: str, context: str, state: str, description: str, *, by: str) -> Delivery:
        """Say how it stands with a branch's head, or with the commit `ref`."""
        if state not in STATES:
            raise ValueError(f"{state} is no state; there are {', '.join(STATES)}.")
        place, creator = self._world.repos[repo.lower()], self._world.user(by)
        sha = await place.git.head(ref) or ref
        status = Status(self._world.next_id(), sha, context, state, description, creator)
        place.statuses.append(status)
        return await self._courier.send("status", await self._payload(place, status))

    async def _payload(self, repo: Repo, status: Status) -> Json:
        """It has no `action`. The branches are those that contain the commit, ten at most."""
        api, about = self._shapes.repo_api(repo), self._courier.about("", repo, status.creator)
        heads = await repo.git.refs("refs/heads/")
        branches = [
            {
                "name": name.removeprefix("refs/heads/"),
                "commit": {"sha": sha, "url": f"{api}/commits/{sha}"},
                "protected": False,
            }
            for name, sha in heads.items()
            if await repo.git.count(f"{sha}..{status.sha}") == 0
        ]
        commit = git_shapes.commit(self._shapes, repo, await repo.git.commit(status.sha))
        del about["action"]
        return {
            **about,
            "id": status.id,
            "sha": status.sha,
            "name": repo.full_name,
            "target_url": None,
            "avatar_url": None,
            "context": status.context,
            "description": status.description or None,
            "state": status.state,
            "commit": commit,
            "branches": branches[:10],
            "created_at": stamp(status.created_at),
            "updated_at": stamp(status.created_at),
        }


def _shape(call: Call, status: Status) -> Json:
    return {
        "url": f"{call.shapes.repo_api(call.repo)}/statuses/{status.sha}",
        "avatar_url": None,
        "id": status.id,
        "node_id": node_id("SC", status.id),
        "state": status.state,
        "description": status.description or None,
        "target_url": None,
        "context": status.context,
        "created_at": stamp(status.created_at),
        "updated_at": stamp(status.created_at),
    }


async def combined_status(call: Call) -> Response:
    """The newest status of each context, and what they come to together."""
    repo, sha = call.repo, await resolve(call, call.part("ref"))
    newest = list({status.context: status for status in repo.statuses if status.sha == sha}.values())
    states = {status.state for status in newest}
    together = "failure" if states & {"failure", "error"} else "success" if states == {"success"} else "pending"
    api = call.shapes.repo_api(repo)
    shown, links = page(call.request, newest)
    answer = {
        "state": together,
        "statuses": [_shape(call, status) for status in shown],
        "sha": sha,
        "total_count": len(newest),
        "repository": call.shapes.repo(repo),
        "commit_url": f"{api}/commits/{sha}",
        "url": f"{api}/commits/{sha}/status",
    }
    return reply(answer, headers=links)


ROWS: Final[tuple[Row, ...]] = (
    ("GET", "/repos/{owner}/{name}/commits/{ref:path}/status", combined_status, "statuses:read"),
)
