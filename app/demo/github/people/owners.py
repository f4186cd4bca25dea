"""What becomes of a repository as a whole: it is archived, deleted, renamed or transferred, and the App is told.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#repository
"""

from app.demo.github.shapes import Shapes
from app.demo.github.state.records import Delivery, Repo
from app.demo.github.state.world import World
from app.demo.github.webhooks import Courier


class Custody:
    """The hands of a repository's owner. Old names lead to the number of the repository."""

    def __init__(self, world: World, shapes: Shapes, courier: Courier) -> None:
        self._world = world
        self._shapes = shapes
        self._courier = courier

    async def archive(self, repo: str) -> Delivery:
        """Make it read-only."""
        found = self._world.repos[repo.lower()]
        found.archived = True
        return await self._tell("archived", found)

    async def delete(self, repo: str) -> Delivery:
        return await self._tell("deleted", self._world.repos.pop(repo.lower()))

    async def rename(self, repo: str, name: str) -> Delivery:
        found = self._world.repos[repo.lower()]
        before, found.name = found.name, name
        self._move(repo, found)
        return await self._tell("renamed", found, repository={"name": {"from": before}})

    async def transfer(self, repo: str, owner: str) -> Delivery:
        """Give it to another account; the App sees it there when it is installed there already.

        GitHub tells of it only there.
        """
        found, account = self._world.repos[repo.lower()], self._world.user(owner)
        before, found.owner = found.owner, account
        there = [each.id for each in self._world.installations.values() if each.account is account]
        found.installation_id = there[0] if there else 0
        self._move(repo, found)
        return await self._tell("transferred", found, owner={"from": {"user": self._shapes.user(before)}})

    def _move(self, before: str, repo: Repo) -> None:
        del self._world.repos[before.lower()]
        self._world.repos[repo.full_name.lower()] = self._world.moved[before.lower()] = repo

    async def _tell(self, action: str, repo: Repo, **changes: object) -> Delivery:
        more = {"changes": changes} if changes else {}
        return await self._courier.send("repository", {**self._courier.about(action, repo, repo.owner), **more})
