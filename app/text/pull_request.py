"""The pull request's title and body, from the run: what, why, how it was verified, what it cost."""

from app.core.run.job import Feedback
from app.core.run.run import Run
from app.core.safety.escape import cut
from app.text.commit import title_of
from app.text.render import render


def render_pull_request(run: Run, page_url: str) -> tuple[str, str]:
    """Title (one line) and body (Markdown, at most 60,000 characters)."""
    body = render("pull_request/body.md.j2", run=run, page_url=page_url)
    return title_of(run.plan.title if run.plan else run.job.title), cut(body, 60_000)


def render_reply(run: Run, heard: Feedback) -> str:
    """What is answered in the thread of a reviewer's comment."""
    is_reached = heard.step is not None and heard.step < run.steps_done
    commits = [commit for commit in run.commits if heard.step is not None and commit.step == heard.step]
    commit = commits[-1] if commits else None
    return render("pull_request/reply.md.j2", run=run, heard=heard, commit=commit, is_reached=is_reached)
