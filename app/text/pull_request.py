"""The pull request's title and body, from the run: what, why, how it was verified, what it cost."""

from app.core.run import Run
from app.text.render import calm, render

TITLE_CHARS = 120


def render_pull_request(run: Run, page_url: str) -> tuple[str, str]:
    """Title (one line) and body (Markdown, at most 60,000 characters)."""
    title = " ".join((run.plan.title if run.plan else run.job.title).split())[:TITLE_CHARS] or "Change the code"
    body = render("pull_request/body.md.j2", run=run, page_url=page_url)
    return calm(title), body[:60_000]
