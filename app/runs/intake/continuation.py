"""A run that goes on from another uses the text that was approved; when others changed that since, a person is asked.

retry, budget ─▶ did somebody who could not have started it change title, text or comments since?
                   ├─ no ───────────────────────────────▶ goes on, with the text as it was
                   ├─ yes, and nobody was asked yet ────▶ says what changed, starts nothing
                   └─ yes, and it is said once more ────▶ goes on, with the text as it was
"""

from typing import Final

from app.core.errors import UserError
from app.core.inbound.triggers import MAX_BODY_CHARS, MAX_TITLE_CHARS
from app.core.run.job import Verb
from app.core.run.run import Run
from app.core.safety.escape import code
from app.runs.context import RunContext
from app.runs.intake.comments import find_strangers, is_since, list_comments
from app.text.render import format_usd

MAX_NAMED: Final = 5
NOT_READ: Final = "Edited after approval and therefore not used: {}. `/vibecode` starts over with the current text."
ASK: Final = (
    "No run was started: after approval, someone who can't start runs changed the issue ({}). Comment `{}` again to "
    "continue with the approved text, or `/vibecode` to start over with the current text."
)


async def check_text(ctx: RunContext, earlier: Run) -> None:
    """Stop at a text that strangers changed since it was approved, the first time that somebody goes on.

    Raises:
        UserError: it changed. The words say what did, and how to go on.
    """
    if earlier.job.number is None or earlier.job.number != ctx.run.job.number:
        return
    edited, by_stranger = await _find_edits(ctx, earlier)
    late = [each.author for each in await list_comments(ctx, earlier.job) if is_since(each, earlier.text_at)]
    strangers = sorted({person.login for person in await find_strangers(ctx, late)})
    changes = [*edited, *(f"a comment by {code(login)}" for login in strangers[:MAX_NAMED])]
    if len(strangers) > MAX_NAMED:
        changes.append(f"comments by {len(strangers) - MAX_NAMED} others")
    if not changes:
        return
    name = f"changed since {earlier.id}"
    asked_by = await ctx.ports.store.recall(name)
    if not (by_stranger or strangers) or asked_by not in {"", ctx.run.id}:
        await ctx.progress.notice(NOT_READ.format(", ".join(changes)))
        return
    await ctx.ports.store.note(name, ctx.run.id)
    raise UserError(ASK.format(", ".join(changes), _said_again(ctx)))


async def _find_edits(ctx: RunContext, earlier: Run) -> tuple[list[str], bool]:
    """What of an issue's title and text is not as it was, and whether its author could not have started the run: only
    they and people with write access can edit it. A pull request's text is the bot's own."""
    before = earlier.job
    issue = await ctx.github.pulls.issue(before.number or 0) if not before.is_pull_request else None
    if issue is None:
        return [], False
    edited = ["the title"] if issue.title[:MAX_TITLE_CHARS] != before.title else []
    edited += ["the text"] if issue.body[:MAX_BODY_CHARS] != before.body else []
    if not edited or issue.author is None:
        return edited, bool(edited)
    return edited, bool(await find_strangers(ctx, [issue.author]))


def _said_again(ctx: RunContext) -> str:
    command = ctx.run.job.command
    amount = (
        f" +{format_usd(command.add_usd).removeprefix('$').removesuffix('.00')}" if command.verb is Verb.BUDGET else ""
    )
    return f"/vibecode {command.verb}{amount}"
