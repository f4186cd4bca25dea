"""What people do to threads and branches besides talking: they edit, close, lock, delete and transfer.

await github.upkeep.edit("acme/greeter", 2, body="Something else", by="mona")
"""

from app.demo.github.shapes import Shapes
from app.demo.github.state.records import Delivery, Issue, PullRequest
from app.demo.github.state.world import World
from app.demo.github.webhooks import Courier


class Upkeep:
    """What a person does returns once the webhook of it was answered."""

    def __init__(self, world: World, shapes: Shapes, courier: Courier) -> None:
        self._world = world
        self._shapes = shapes
        self._courier = courier

    async def edit(self, repo: str, number: int, *, title: str = "", body: str | None = None, by: str) -> Delivery:
        """Change a thread's title or body; an empty `title` and a `body` of None stay as they are."""
        issue = self._issue(repo, number)
        before = {"title": {"from": issue.title}} if title else {"body": {"from": issue.body}}
        issue.title, issue.body = title or issue.title, issue.body if body is None else body
        return await self._tell("edited", repo, issue, by, changes=before)

    async def close(self, repo: str, number: int, *, by: str) -> Delivery:
        issue = self._issue(repo, number)
        issue.put_state("closed")
        return await self._tell("closed", repo, issue, by)

    async def reopen(self, repo: str, number: int, *, by: str) -> Delivery:
        issue = self._issue(repo, number)
        issue.put_state("open")
        return await self._tell("reopened", repo, issue, by)

    async def lock(self, repo: str, number: int, *, by: str) -> Delivery:
        """From now on an App cannot comment there."""
        issue = self._issue(repo, number)
        issue.is_locked = True
        return await self._tell("locked", repo, issue, by)

    async def delete(self, repo: str, number: int, *, by: str) -> Delivery:
        """Delete an issue: it answers 410 from now on, as do its comments."""
        issue = self._issue(repo, number)
        issue.is_deleted = True
        return await self._tell("deleted", repo, issue, by)

    async def transfer(self, repo: str, number: int, to: str, *, by: str) -> Delivery:
        """Move an issue to another repository, where it gets another number; the old one leads there."""
        issue, there = self._issue(repo, number), self._world.repos[to.lower()]
        moved = self._world.add_issue(there, title=issue.title, body=issue.body, user=issue.user)
        issue.moved_to = f"/repositories/{there.id}/issues/{moved.number}"
        return await self._tell("transferred", repo, issue, by)

    async def delete_branch(self, repo: str, branch: str) -> None:
        """Delete a branch; GitHub closes the pull requests that come from it."""
        place = self._world.repos[repo.lower()]
        head = await place.git.head(branch)
        if head is None:
            raise ValueError(f"There is no branch {branch}.")
        await place.git.delete_ref(f"refs/heads/{branch}")
        for pull in place.pull_requests():
            if (pull.head, pull.fork, pull.state) == (branch, None, "open"):
                pull.head_sha = head
                pull.put_state("closed")
                pull.touch()

    def _issue(self, repo: str, number: int) -> Issue:
        return self._world.repos[repo.lower()].issues[number]

    async def _tell(self, action: str, repo: str, issue: Issue, by: str, **more: object) -> Delivery:
        issue.touch()
        if isinstance(issue, PullRequest):
            raise TypeError(f"#{issue.number} is a pull request; `DemoGitHub.pulls` has the hands for it.")
        place, user = self._world.repos[repo.lower()], self._world.user(by)
        payload = {**self._courier.issue(action, place, issue, user), **more}
        return await self._courier.send("issues", payload)
