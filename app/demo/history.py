"""What happened to an issue's labels, and who did it, as its list of events tells later."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.demo.world import Issue, Label, User, World


@dataclass(frozen=True, slots=True)
class IssueEvent:
    """`event` is `labeled` or `unlabeled`."""

    id: int
    event: str
    actor: "User"
    label: "Label"
    created_at: datetime


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
