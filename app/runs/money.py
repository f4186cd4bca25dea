"""The run's dollars: set aside in the day of its repository and of its installation, and added to by people."""

import math

from app.core.errors import LimitReached
from app.core.records import Signal
from app.core.repo_config import PATH
from app.runs.work import Work
from app.text.render import money


async def reserve(work: Work) -> None:
    """Set the run's dollars aside in the day of its repository and of its installation.

    Raises:
        LimitReached: a day's dollars are spent or promised to others.
    """
    run, budget = work.run, work.progress.budget
    if run.reserved or budget is None or budget.usd is None or math.isinf(budget.usd):
        return
    day = work.ports.clock.now().date()
    scopes = (f"{run.job.repo}:{day}", f"installation {run.job.installation_id}:{day}")
    await work.progress.save(carried_usd=run.cost.usd)
    most = budget.usd + run.granted_usd - run.cost.usd
    if full := await _set_aside(work, scopes, most):
        for scope in scopes:
            await work.ports.store.settle(scope, run.id, 0.0)
        raise LimitReached(
            "usd_per_day",
            f"This run may take {money(most)}, and today's {full} leave less than that. `/vibecode retry` starts it "
            "tomorrow (UTC), when other runs have ended for less, or when that limit is raised.",
        )
    await work.progress.change(reserved=scopes)


async def _set_aside(work: Work, scopes: tuple[str, ...], usd: float) -> str:
    """Set dollars aside in each scope; the one that has not so many left, empty when all have."""
    for scope in scopes:
        is_repos = not scope.startswith("installation ")
        limit = work.config.budget.usd_per_day or math.inf if is_repos else work.options.usd_per_day
        if not await work.ports.store.reserve(scope, work.run.id, usd, limit=limit):
            return f"{money(limit)} (`usd_per_day` in `{PATH}`)" if is_repos else f"{money(limit)} (`MAX_USD_PER_DAY`)"
    return ""


async def settle(work: Work) -> None:
    """Put what the run spent in place of what was set aside for it. What it carried over was settled. Repeatable."""
    run = work.run
    for scope in run.reserved:
        await work.ports.store.settle(scope, run.id, run.cost.usd - run.carried_usd)


async def grant(work: Work, signal: Signal) -> None:
    """Let the budget of the run at work grow, once for each command, as far as the day's dollars reach."""
    run, before = work.run, work.run.budget_usd + work.run.granted_usd - work.run.carried_usd
    if signal.key in run.grants:
        return
    if full := await _set_aside(work, run.reserved, before + signal.amount):
        for scope in run.reserved:
            await work.ports.store.settle(scope, run.id, before)
        await work.progress.save(
            grants=(*run.grants, signal.key),
            notices=run.with_notice(f"{money(signal.amount)} could not be added: today's {full} are used up.").notices,
        )
        return
    await work.progress.grant(signal.amount, signal.key)
