"""GitHub fails in every way it has, at every kind of call; and is away for a while."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final

from app.core.run.run import Conclusion
from app.demo.github.front import Fault as Refusal
from app.demo.github.front import FaultOptions
from tests.bot import REPO
from tests.faults.fault import Fault, add
from tests.faults.script import FIRST
from tests.faults.world import SUCCESS, World

CALLS: Final[Mapping[str, tuple[str, str]]] = {
    "token": ("POST", r"/access_tokens$"),
    "permission": ("GET", r"/collaborators/"),
    "fetch": ("*", r"\.git/git-upload-pack"),
    "comment": ("POST", r"/issues/\d+/comments$"),
    "edit": ("PATCH", r"/issues/comments/\d+$"),
    "reaction": ("POST", r"/reactions$"),
    "branch": ("POST", r"/git/refs$"),
    "commit": ("POST", r"/api/graphql$"),
    "pull-request": ("POST", r"/pulls$"),
    "list": ("GET", r"/pulls$"),
}
_SECONDARY: Final = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}
_BAD: Final = {"message": "Bad credentials"}
_INVALID: Final = {"message": "Validation Failed", "errors": [{"code": "custom", "message": "It is not to be."}]}
WAYS: Final[Mapping[str, FaultOptions]] = {
    "500": {"status": 500},
    "502": {"status": 502},
    "secondary-limit": {"status": 403, "headers": {"retry-after": "2"}, "json": _SECONDARY},
    "429": {"status": 429, "headers": {"retry-after": "1"}, "json": {"message": "Too many requests"}},
    "401": {"status": 401, "json": _BAD},
    "409": {"status": 409, "json": {"message": "Conflict"}},
    "422": {"status": 422, "json": _INVALID},
    "lost-answer": {"status": 0, "before": False},
    "dropped": {"status": 0},
    "hanging": {"hangs": True},
}
HONEST: Final = SUCCESS | {Conclusion.FAILURE}
"""How a run may end that GitHub refused something once: it says so, or did without."""
PASSING: Final = frozenset(WAYS) - {"409", "422"}


async def once(world: World, way: str, calls: tuple[str, ...]) -> None:
    """Each of these calls fails once in this way."""
    ordered = [world.github.fails(*CALLS[call], **WAYS[way]) for call in calls]
    await world.ask(ends=SUCCESS if way in PASSING else HONEST)
    if len(ordered) == 1:
        await world.until_hit(ordered[0])
        await world.story.mark(f"{calls[0]} failed: {way}")
    await world.settled()
    never = [call for call, refusal in zip(calls, ordered, strict=True) if refusal.times]
    if way in PASSING:
        assert not never, f"These calls were never made: {never}"


async def in_a_row(world: World, way: str, times: int) -> None:
    """The commit fails more often than the adapter tries."""
    ordered = world.github.fails(*CALLS["commit"], **WAYS[way])
    ordered.times = times
    await world.ask()
    await world.until_hit(ordered, limit_s=200)  # after each two it is looked for, until it would be visible
    await world.story.mark(f"the commit failed {times} times: {way}")


async def away(world: World, seconds: float, words: str, status: int = 502) -> None:
    """From a moment on GitHub answers nothing but errors, for a while."""
    outage: list[Refusal] = []

    async def begin() -> None:
        world.story.write("GitHub is away")
        outage.append(world.github.fails("*", r"^/(api|acme)", status=status, times=1_000_000))

    rule = world.redis_tap.when(words, begin)
    await world.ask()
    await world.until(rule.done.is_set, words)
    await asyncio.sleep(seconds)
    outage[0].times = 0
    await world.story.mark(f"GitHub is back after {seconds} s")


async def limited(world: World, seconds: int) -> None:
    """The rate limit is used up in the middle: everything is refused until it is not."""
    world.script.sleeps(FIRST, "sleep 1")
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    headers = {"retry-after": str(seconds), "x-ratelimit-remaining": "0"}
    outage = world.github.fails("*", "^/api", status=403, headers=headers, json=_SECONDARY, times=1_000_000)
    await asyncio.sleep(seconds)
    tries = 1_000_000 - outage.times
    outage.times = 0
    await world.story.mark(f"the limit is over after {seconds} s and {tries} refused requests")
    await world.settled()
    assert tries < 30, f"{tries} requests were sent to a GitHub that asked to be left alone for {seconds} s."


async def limit_shown(world: World) -> None:
    """What waits for a limit says so in its comment."""
    refused = world.github.fails(*CALLS["branch"], status=403, headers={"retry-after": "15"}, json=_SECONDARY)
    asked = await world.ask()

    def is_told() -> bool:
        bodies = [comment.body for comment in world.github.comments(REPO, asked.number)]
        return any("⏳ Waiting" in body and _SECONDARY["message"].split(".")[0] in body for body in bodies)

    await world.until(is_told, "the comment says what the run waits for", limit_s=60)
    await world.story.mark(f"the wait is told, {refused.times} more refusals to come")
    await world.settled()


async def tokens_end(world: World) -> None:
    """Every token ends its life between two steps."""
    world.script.sleeps(FIRST, "sleep 2")
    asked = await world.ask()
    await world.until_at(asked, "sleep")
    world.github.expire_tokens()
    await world.story.mark("all tokens have expired")


for _way in ("500", "lost-answer"):
    for _call in CALLS:
        add(Fault(f"github-{_way}-at-{_call}", partial(once, way=_way, calls=(_call,)), limit_s=120))
for _way in ("502", "429", "dropped", "secondary-limit", "401"):
    # The App's own key refused is no passing thing; a fetch refused is looked at by itself.
    _calls = tuple(call for call in CALLS if (_way, call) != ("401", "token") and call != "fetch")
    add(Fault(f"github-{_way}-at-every-call", partial(once, way=_way, calls=_calls), limit_s=150))
    add(Fault(f"github-{_way}-at-fetch", partial(once, way=_way, calls=("fetch",)), limit_s=120))
for _way in ("409", "422"):
    for _call in ("comment", "edit", "reaction", "branch", "commit", "pull-request"):
        add(Fault(f"github-{_way}-at-{_call}", partial(once, way=_way, calls=(_call,))))
for _call in ("token", "fetch", "comment", "commit", "pull-request"):
    add(Fault(f"github-hanging-at-{_call}", partial(once, way="hanging", calls=(_call,)), limit_s=150, waits=True))
add(Fault("github-500-at-commit-6-times", partial(in_a_row, way="500", times=6), limit_s=250, waits=True))
add(Fault("github-lost-answer-at-commit-twice", partial(in_a_row, way="lost-answer", times=2), limit_s=150))
add(
    Fault(
        "github-away-at-the-start", partial(away, seconds=30, words='"status":"in_progress"'), limit_s=200, waits=True
    )
)
add(Fault("github-away-in-the-plan", partial(away, seconds=30, words='"stage":"plan"'), limit_s=200, waits=True))
add(Fault("github-away-in-a-step", partial(away, seconds=30, words="Step 2 of 2"), limit_s=200, waits=True))
add(
    Fault(
        "github-away-in-the-last-words",
        partial(away, seconds=30, words='"conclusion":"success"'),
        limit_s=200,
        waits=True,
    )
)
add(
    Fault(
        "github-gone-in-the-last-words",
        partial(away, seconds=30, words='"conclusion":"success"', status=0),
        limit_s=200,
    )
)
add(Fault("github-limit-of-15-s-is-shown", limit_shown, limit_s=150, waits=True))
add(Fault("github-rate-limit-for-20-s", partial(limited, seconds=20), limit_s=200, waits=True))
add(Fault("github-tokens-expire", tokens_end))
