"""Where attacks take place: a whole deployment, a model that obeys the attacker in everything, and ears everywhere."""

import asyncio
import io
import json
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from redis.asyncio import Redis

from app import logs
from app.core.conversation import Instructions, ToolResult, UserMessage
from app.core.run.run import Run
from app.core.safety.redact import Redactor
from app.demo.github.server import DemoGitHub
from app.demo.github.state.records import Comment, Issue
from app.demo.github.webhooks import sign
from app.demo.model.scripted import ScriptedModel, Seen, Turn
from tests.bot import REPO, SECRET, SETTLE_S, Bot, deployed
from tests.contract.e2b_server import E2BServer, e2b_server, e2b_settings
from tests.e2e.turns import edit, finish, plan, shell

BOT: Final = "vibecoder[bot]"
MENDED: Final = "hello, {name}"


@dataclass(slots=True)
class Scene:
    """A deployment under attack. `log` is all that it logged; `client` comes to its web without a name."""

    bot: Bot
    folder: Path
    log: io.StringIO
    client: httpx.AsyncClient
    e2b: E2BServer | None = None

    @property
    def cloud(self) -> E2BServer:
        """E2B's stand-in, in a scene that has its sandboxes there."""
        assert self.e2b is not None
        return self.e2b

    @property
    def github(self) -> DemoGitHub:
        return self.bot.github

    @property
    def model(self) -> ScriptedModel:
        return self.bot.model

    # ------------------------------------------------------------------------------------------------------ attacking

    def persuade(self, *turns: Turn, title: str = "Mend the greeting", summary: str = "It lacked an l.") -> None:
        """Let the model plan one step, mend the greeting, then do as the attacker says; it says `Done.` ever after."""
        self.model.says(plan("Mend the greeting", title=title, summary=summary), edit("helo", "hello"), *turns)

    async def asked(self, *turns: Turn, title: str = "The greeting has a typo", body: str = "It says helo.") -> Run:
        """A maintainer labels an issue, the persuaded model works on it, and the run has ended."""
        self.persuade(*turns)
        return await self.labelled(await self.bot.issue(title, body))

    async def labelled(self, issue: Issue, *, by: str = "maintainer") -> Run:
        """Label an issue and wait for the end of the run that comes of it."""
        delivery = await self.bot.label(issue, by=by)
        return await self.bot.settled(json.loads(delivery.response)["job"])

    async def tried(self, *commands: str) -> str:
        """Have the persuaded model run these in the sandbox; what they printed."""
        await self.asked(*[shell(command) for command in commands])
        return self.heard()

    async def payload(self, text: str = "/vibecode", *, by: str = "maintainer") -> tuple[Issue, dict[str, Any]]:
        """A comment's delivery as GitHub would make it, not sent."""
        url, self.github.webhook_url = self.github.webhook_url, ""
        issue = await self.bot.issue()
        _, delivery = await self.github.comment(REPO, issue.number, text, by=by)
        self.github.webhook_url = url
        return issue, json.loads(delivery.payload)

    async def deliver(
        self,
        body: bytes | Mapping[str, Any],
        event: str = "issue_comment",
        headers: Mapping[str, str | bytes] | None = None,
    ) -> httpx.Response:
        """Post to the webhook, well signed unless `headers` say otherwise (an empty value leaves a header out)."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent: dict[str, str | bytes] = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": sign(SECRET, data),
            **(headers or {}),
        }
        encoded = [
            (name.encode(), value.encode() if isinstance(value, str) else value)
            for name, value in sent.items()
            if value
        ]
        return await self.client.post("/webhook", content=data, headers=encoded)

    # -------------------------------------------------------------------------------------------------------- looking

    def heard(self) -> str:
        """Every tool result that the model got."""
        results = (each.text for seen in self.model.requests for each in seen.conversation if _is(each, ToolResult))
        return "\n".join(dict.fromkeys(results))

    def instructed(self) -> str:
        """Every word that the model was told other than in a tool result."""
        told = (
            each.text
            for seen in self.model.requests
            for each in seen.conversation
            if _is(each, UserMessage, Instructions)
        )
        return "\n".join(dict.fromkeys(told))

    def comments(self) -> list[Comment]:
        """All that the bot commented, anywhere."""
        threads = (comment for repo in self.github.world.repos.values() for comment in repo.comments.values())
        return [comment for comment in threads if comment.author == BOT]

    def comment(self) -> str:
        """The bot's comments as they stand."""
        return "\n\n".join(comment.body for comment in self.comments())

    async def runs(self) -> tuple[Run, ...]:
        return (await self.bot.records.store.list(limit=100)).runs

    async def published(self) -> str:
        """The messages and patches of every commit on the bot's branches."""
        parts = [
            await _git(
                repo.path, "log", "-p", "--no-color", "--no-ext-diff", "--format=commit%n%B", *_branches(repo.path)
            )
            for repo in self.github.world.repos.values()
            if _branches(repo.path)
        ]
        return "\n".join(parts)

    async def files(self, branch: str) -> list[str]:
        """The paths on a branch, as git writes them."""
        return (await _git(self.github.world.repos[REPO].path, "ls-tree", "-r", "--name-only", branch)).splitlines()

    async def said(self) -> dict[str, str]:
        """All that leaves the program: where it is said, and what."""
        said = {"the log": self.log.getvalue(), "the commits": await self.published()}
        for repo in self.github.world.repos.values():
            for comment in repo.comments.values():
                if comment.author == BOT:
                    said[f"comment {comment.id}"] = "\n".join(comment.history)
            for pull in repo.pull_requests():
                said[f"pull request {pull.number}"] = f"{pull.title}\n{pull.body}"
        for delivery in self.github.deliveries:
            said[f"answer to delivery {delivery.id}"] = delivery.response
        pages = ["/", "/api/jobs", "/metrics", "/healthz", "/readyz", "/openapi.json", "/docs"]
        for run in await self.runs():
            pages += [f"/jobs/{run.id}", *(f"/api/jobs/{run.id}{view}" for view in VIEWS)]
        for page in pages:
            said[page] = (await self.bot.api.get(page, timeout=20)).text
        return said

    async def redis(self) -> str:
        """All that Redis holds."""
        redis: Any = Redis.from_url(self.bot.records.redis_url, socket_timeout=3)
        async with redis:
            dumps = [await redis.dump(name) or b"" async for name in redis.scan_iter(count=1000)]
        return "\n".join(dump.decode("latin-1") for dump in dumps)

    def secrets(self) -> list[str]:
        """What must never be said: the deployment's secrets, and the tokens that were minted for it."""
        lines = [line for secret in self.bot.settings.secrets for line in secret.get_secret_value().splitlines()]
        tokens = [token.value for token in self.github.world.tokens.values() if token.installation is not None]
        return [line for line in [*lines, *tokens] if len(line) >= 8 and "-----" not in line]

    # ------------------------------------------------------------------------------------------------------ asserting

    async def assert_unsaid(self, *needles: str) -> None:
        """None of these is said anywhere."""
        for where, text in (await self.said()).items():
            for needle in needles:
                assert needle not in text, f"{where} says {needle[:60]!r}."

    def assert_told(self, *words: str) -> None:
        """A comment of the bot's says each of these."""
        for each in words:
            assert each in self.comment(), f"Nobody is told {each!r}; the comment is:\n{self.comment()[-2_000:]}"

    async def assert_silent(self) -> None:
        """Nothing can be seen of it by anybody on GitHub, and the model was never asked."""
        assert self.comments() == [], "The bot commented."
        assert self.model.requests == [], "The model was asked."
        assert not any(request.method != "GET" and "/issues/" in request.path for request in self.github.requests)

    def assert_refused(self, answer: httpx.Response, status: int, logged: str = "") -> None:
        """An answer of this status that gives nothing away, and a line in the log."""
        assert answer.status_code == status, f"It was answered {answer.status_code}: {answer.text[:300]}"
        assert not any(secret in answer.text for secret in self.secrets()), "The answer holds a secret."
        assert logged in self.log.getvalue(), f"The log does not say {logged!r}."

    async def assert_mended(self, run: Run) -> None:
        """The honest part of the work was published, and the attack changed nothing about that."""
        assert run.conclusion is not None
        assert run.conclusion.value == "success", f"{run.conclusion}: {run.failure or run.message}"
        assert MENDED in await self.published(), "The honest change is not there."

    def assert_in(self, text: str, *words: str) -> None:
        for each in words:
            assert each in text, f"{each!r} is not in: {text[-2_000:]}"

    def assert_not_in(self, text: str, *words: str) -> None:
        for each in words:
            assert each not in text, f"{each!r} is in: …{text[max(0, text.index(each) - 300) :][:600]}…"


VIEWS: Final = ("", "/progress", "/result", "/commits", "/events")


@asynccontextmanager
async def opened(
    folder: Path, *, files: Mapping[str, str | bytes], is_worker_up: bool, environ: Mapping[str, str]
) -> AsyncIterator[Scene]:
    """A deployment in `folder`, its log at hand, and the files in its repository."""
    log = io.StringIO()
    async with AsyncExitStack() as stack:
        e2b = None
        if environ.get("SANDBOX") == "e2b":
            (folder / "e2b").mkdir()
            e2b = await stack.enter_async_context(e2b_server(folder / "e2b"))
        settings = {**environ, **(e2b_settings(e2b) if e2b else {})}
        bot = await stack.enter_async_context(deployed(folder, is_worker_up=False, times=1.0, **settings))
        logs.configure("debug", Redactor(bot.settings.secrets).redact, log)
        if files:
            await bot.github.push(REPO, "main", files, message="Work", by="acme")
        bot.model.answers(_agree)
        if is_worker_up:
            await bot.start_worker()
            swept = f"sweep {bot.github.world.repos[REPO].installation_id}"
            async with asyncio.timeout(SETTLE_S):  # what an attack keeps from being delivered, the sweep would find
                while '"is_over":true' not in await bot.ports.store.recall(swept):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        async with httpx.AsyncClient(base_url=bot.url, timeout=20) as client:
            yield Scene(bot, folder, log, client, e2b)


def _agree(seen: Seen) -> Turn:
    return finish("Done.") if "finish" in seen.tools else plan("Mend the greeting")


def _is(message: object, *kinds: type) -> bool:
    return isinstance(message, kinds)


def _branches(repository: Path) -> Iterable[str]:
    listed = ["git", "-C", str(repository), "for-each-ref", "--format=^main %(refname)", "refs/heads/vibecode"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()


async def _git(repository: Path, *argv: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, ["git", "-C", str(repository), *argv], capture_output=True, check=True
    )
    return done.stdout.decode(errors="replace")
