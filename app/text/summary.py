"""What a run did, in plain text: for the status API, its page and the comment."""

from app.core.run.plan import Plan
from app.core.run.run import Run


def summarize(run: Run) -> str:
    """The whole run's summary, not escaped: the plan's, then one list item for each step that is done.

    A run that has done no step, or that only opens the pull request, has the words it ended with. Empty when there are
    none (yet). Of a run stored before step summaries were kept, the items are the steps' titles.
    """
    if run.plan is None or not run.steps_done or run.is_handed_over:
        return run.summary
    return "\n\n".join(part for part in (run.plan.summary, "\n".join(_items(run, run.plan))) if part)


def _items(run: Run, plan: Plan) -> list[str]:
    done = plan.steps[: run.steps_done]
    texts = (*run.step_summaries, *[""] * len(done))
    return [
        f"- {step.title}: {' '.join(text.split())}" if text else f"- {step.title}"
        for step, text in zip(done, texts, strict=False)
    ]
