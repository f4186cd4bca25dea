"""What happened to an issue's labels, and who did it, as its list of events tells later."""

from app.demo.github.state.records import Issue, IssueEvent, Label, User
from app.demo.github.state.world import World


def put_label(world: "World", issue: "Issue", label: "Label", actor: "User") -> None:
    """Put a label on an issue, again if it is there."""
    if label not in issue.labels:
        issue.labels.append(label)
    _note(world, issue, "labeled", label, actor)


def take_label(world: "World", issue: "Issue", label: "Label", actor: "User") -> None:
    """Take a label that is there off an issue."""
    issue.labels.remove(label)
    _note(world, issue, "unlabeled", label, actor)


def _note(world: "World", issue: "Issue", event: str, label: "Label", actor: "User") -> None:
    issue.touch()
    issue.events.append(IssueEvent(world.next_id(), event, actor, label, issue.updated_at))
