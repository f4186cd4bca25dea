"""The run's dollars: set aside in the day of its repository and of its installation, and added to by people."""

import math

from app.core.errors import LimitReached
from app.core.policy.repo_config import PATH
from app.core.ports.store import Signal
from app.runs.context import RunContext
from app.text.render import format_usd


async def reserve(ctx: RunContext) -> None:
    """Set the run's dollars aside in the day of its repository and of its installation.

    Raises:
        LimitReached: a day's dollars are spent or promised to others.
    """
    run, budget = ctx.run, ctx.progress.budget
    if run.reserved or budget is None or budget.usd is None or math.isinf(budget.usd):
        return
    day = ctx.ports.clock.now().date()
    scopes = (f"{run.job.repo}:{day}", f"installation {run.job.installation_id}:{day}")
    await ctx.progress.save(carried_usd=run.cost.usd)
    most = budget.usd + run.granted_usd - run.cost.usd
    if full := await _set_aside(ctx, scopes, most):
        for scope in scopes:
            await ctx.ports.store.settle(scope, run.id, 0.0)
        raise LimitReached(
            "usd_per_day",
            f"This run may cost up to {format_usd(most)}, which exceeds what is left of today's {full}. Comment "
            "`/vibecode retry` tomorrow (UTC), when other runs have finished under budget, or after raising the limit.",
        )
    await ctx.progress.change(reserved=scopes)


async def _set_aside(ctx: RunContext, scopes: tuple[str, ...], usd: float) -> str:
    """Set dollars aside in each scope; the one that has not so many left, empty when all have."""
    for scope in scopes:
        is_repos = not scope.startswith("installation ")
        limit = ctx.config.budget.usd_per_day or math.inf if is_repos else ctx.options.usd_per_day
        if not await ctx.ports.store.reserve(scope, ctx.run.id, usd, limit=limit):
            return (
                f"{format_usd(limit)} (`usd_per_day` in `{PATH}`)"
                if is_repos
                else f"{format_usd(limit)} (`MAX_USD_PER_DAY`)"
            )
    return ""


async def settle(ctx: RunContext) -> None:
    """Put what the run spent in place of what was set aside for it. What it carried over was settled. Repeatable."""
    run = ctx.run
    for scope in run.reserved:
        await ctx.ports.store.settle(scope, run.id, run.cost.usd - run.carried_usd)


async def grant(ctx: RunContext, signal: Signal) -> None:
    """Let the budget of the run in progress grow, once for each command, as far as the day's dollars reach."""
    run, before = ctx.run, ctx.run.budget_usd + ctx.run.granted_usd - ctx.run.carried_usd
    if signal.key in run.grants:
        return
    if full := await _set_aside(ctx, run.reserved, before + signal.amount):
        for scope in run.reserved:
            await ctx.ports.store.settle(scope, run.id, before)
        await ctx.progress.save(
            grants=(*run.grants, signal.key),
            notices=run.with_notice(f"Could not add {format_usd(signal.amount)}: today's {full} are used up.").notices,
        )
        return
    await ctx.progress.grant(signal.amount, signal.key)
