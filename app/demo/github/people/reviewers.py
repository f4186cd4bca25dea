"""The hands of people on pull requests: they open, review, discuss, merge and close them.

await github.pulls.review("acme/greeter", 2, state="changes_requested", by="mona",
                          comments=[("greet.py", 2, "Use an f-string")])
"""

import shutil
from collections.abc import Sequence
from typing import Final

from app.demo.github import git_shapes, reviews
from app.demo.github.api.merges import merge
from app.demo.github.ci import CI
from app.demo.github.shapes import Shapes
from app.demo.github.state.bare_repo import NO_OBJECT, BareRepo
from app.demo.github.state.records import PullRequest, Repo, Review, ReviewComment, Spot, User, now
from app.demo.github.state.world import ROLES, World
from app.demo.github.webhooks import Courier

_TRIAGE: Final = ROLES.index("triage")
_WRITE: Final = ROLES.index("write")


class Reviewers:
    """What a person does returns once the webhooks of it were answered. What GitHub would refuse raises here."""

    def __init__(self, world: World, shapes: Shapes, courier: Courier, ci: CI) -> None:
        self._world = world
        self._shapes = shapes
        self._courier = courier
        self._ci = ci

    async def open(self, repo: str, head: str, *, title: str, body: str = "", base: str = "", by: str) -> PullRequest:
        """Open a pull request from a branch, or from one of a fork: `owner:branch`."""
        place, user = self._repo(repo), self._world.user(by)
        owner, _, branch = head.rpartition(":")
        fork = self._repo(f"{owner}/{place.name}") if owner and owner != place.owner.login else None
        base = base or place.default_branch
        head_sha, base_sha = await (fork or place).git.head(branch), await place.git.head(base)
        if head_sha is None or base_sha is None:
            raise ValueError(f"There is no branch {head if head_sha is None else base}.")
        pull = PullRequest(
            id=self._world.next_id(),
            number=len(place.issues) + 1,
            title=title,
            body=body,
            user=user,
            head=branch,
            base=base,
            head_sha=head_sha,
            base_sha=base_sha,
            fork=fork,
        )
        place.issues[pull.number] = pull
        await self._tell(place, pull, "opened", user)
        if fork is None:
            await self._ci.pushed(place, branch, user)
        return pull

    async def fork(self, repo: str, *, by: str) -> str:
        """Make a person's own copy, without the App on it; its name. The two share their objects, as on GitHub."""
        place, owner = self._repo(repo), self._world.user(by)
        git = BareRepo(place.git.path.parent.parent / owner.login / place.git.path.name)
        await git.init(place.default_branch)
        shutil.rmtree(git.path / "objects")
        (git.path / "objects").symlink_to(place.git.path / "objects")
        for name, sha in (await place.git.refs("refs/heads/")).items():
            await git.update_ref(name, sha, NO_OBJECT)
        copy = Repo(self._world.next_id(), owner, place.name, git, 0, place.default_branch, place.private)
        copy.roles[owner.login.lower()] = "admin"
        self._world.repos[copy.full_name.lower()] = copy
        return copy.full_name

    async def review(
        self,
        repo: str,
        number: int,
        *,
        state: str,
        body: str = "",
        comments: Sequence[tuple[str, int, str]] = (),
        by: str,
    ) -> Review:
        """Submit a review: `approved`, `changes_requested` or `commented`, with comments on (path, line)."""
        if state not in reviews.STATES or not (body or comments or state == "approved"):
            raise ValueError(f"A review is one of {', '.join(reviews.STATES)}, and says something.")
        place, pull = self._repo(repo), self._pull(repo, number)
        spots = [(await self._spot(place, pull, path, line), text) for path, line, text in comments]
        _, head = await git_shapes.ends(place, pull)
        made = reviews.put_review(self._world, pull, self._world.user(by), head, state=state, body=body)
        for spot, text in spots:
            reviews.put_comment(self._world, made, text, spot)
        await self._tell_review(place, pull, made)
        return made

    async def remark(self, repo: str, number: int, path: str, line: int, text: str, *, by: str) -> ReviewComment:
        """Comment on one line, at once: it begins a thread."""
        place, pull = self._repo(repo), self._pull(repo, number)
        return await self._say(place, pull, text, await self._spot(place, pull, path, line), by)

    async def reply(self, repo: str, number: int, comment: ReviewComment, text: str, *, by: str) -> ReviewComment:
        """Go on with the thread of a comment on a line."""
        return await self._say(self._repo(repo), self._pull(repo, number), text, comment, by)

    def threads(self, repo: str, number: int) -> list[list[ReviewComment]]:
        """What stands in each thread, both oldest first."""
        found = reviews.comments(self._pull(repo, number))
        return [[first, *(each for each in found if each.in_reply_to is first)]
                for first in found if first.in_reply_to is None]  # fmt: skip

    async def close(self, repo: str, number: int, *, by: str) -> None:
        place, pull, user = self._repo(repo), self._pull(repo, number), self._world.user(by)
        if pull.user is not user:
            self._check(place, user, _TRIAGE)
        pull.head_sha = await (pull.fork or place).git.head(pull.head) or pull.head_sha
        await self._end(place, pull, user)

    async def reopen(self, repo: str, number: int, *, by: str) -> None:
        place, pull, user = self._repo(repo), self._pull(repo, number), self._world.user(by)
        pull.put_state("open")
        pull.touch()
        await self._tell(place, pull, "reopened", user)

    async def merge(self, repo: str, number: int, *, by: str) -> str:
        """Press the button; the sha of the merge commit."""
        place, pull, user = self._repo(repo), self._pull(repo, number), self._world.user(by)
        self._check(place, user, _WRITE)
        base, head = await git_shapes.ends(place, pull)
        origin = f"{(pull.fork or place).owner.login}/{pull.head}"
        message = f"Merge pull request #{number} from {origin}\n\n{pull.title}"
        sha = await merge(place, pull.base, head, user, message)
        if pull.state != "open" or sha is None:
            raise ValueError(f"#{number} cannot be merged.")
        pull.base_sha, pull.head_sha = base, head
        pull.merge_sha, pull.merged_by, pull.merged_at = sha, user, now()
        await self._end(place, pull, user)
        await self._ci.pushed(place, pull.base, user)
        return sha

    # ---------------------------------------------------------------------------------------------------------------

    def _repo(self, full_name: str) -> Repo:
        return self._world.repos[full_name.lower()]

    def _pull(self, repo: str, number: int) -> PullRequest:
        pull = self._repo(repo).issues[number]
        if not isinstance(pull, PullRequest):
            raise TypeError(f"#{number} is no pull request.")
        return pull

    def _check(self, repo: Repo, user: User, least: int) -> None:
        if ROLES.index(repo.role(user)) < least:
            raise PermissionError(f"{user.login} may not do this on {repo.full_name}.")

    async def _spot(self, repo: Repo, pull: PullRequest, path: str, line: int) -> Spot:
        return reviews.locate(await repo.git.diff(*await git_shapes.ends(repo, pull), path), path, line)

    async def _say(
        self, repo: Repo, pull: PullRequest, text: str, where: Spot | ReviewComment, by: str
    ) -> ReviewComment:
        _, head = await git_shapes.ends(repo, pull)
        made = reviews.put_review(self._world, pull, self._world.user(by), head, state="commented")
        comment = reviews.put_comment(self._world, made, text, where)
        await self._tell_review(repo, pull, made)
        return comment

    async def _end(self, repo: Repo, pull: PullRequest, user: User) -> None:
        pull.put_state("closed")
        pull.touch()
        await self._tell(repo, pull, "closed", user)

    async def _tell(self, repo: Repo, pull: PullRequest, action: str, user: User) -> None:
        shape = await git_shapes.full_pull(self._shapes, repo, pull)
        await self._courier.send("pull_request", self._courier.pull_request(action, repo, shape, user))

    async def _tell_review(self, repo: Repo, pull: PullRequest, made: Review) -> None:
        for event, payload in await reviews.events(self._courier, repo, pull, made):
            await self._courier.send(event, payload)
