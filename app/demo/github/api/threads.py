"""REST: issues, their comments, labels, events and reactions. A pull request is an issue here, as on GitHub."""

from typing import Final

from starlette.responses import Response

from app.demo.github.call import ISSUES_DISABLED, Call, Row
from app.demo.github.responses import Refusal, invalid, not_found, page, reply
from app.demo.github.shapes import REACTIONS, Json, stamp
from app.demo.github.state.label_events import put_label, take_label
from app.demo.github.state.records import Comment, Issue, IssueEvent, Label, PullRequest, Reaction, Repo, node_id

MAX_BODY_CHARS: Final = 65_536
_READ: Final = "issues:read|pull_requests:read"
_WRITE: Final = "issues:write|pull_requests:write"


async def list_issues(call: Call) -> Response:
    repo, state = call.repo, call.query("state", "open")
    if not repo.has_issues:
        raise Refusal(410, ISSUES_DISABLED)
    there = [issue for issue in repo.issues.values() if not (issue.is_deleted or issue.moved_to)]
    issues = [issue for issue in there if state in {"all", issue.state}]
    wanted = {name.lower() for name in call.query("labels").split(",") if name}
    issues = [issue for issue in issues if wanted <= {label.name.lower() for label in issue.labels}]
    if since := call.query("since"):
        issues = [issue for issue in issues if stamp(issue.updated_at) >= since]
    is_by_update, is_reversed = call.query("sort") == "updated", call.query("direction", "desc") == "desc"
    issues.sort(key=lambda issue: (stamp(issue.updated_at) if is_by_update else "", issue.number), reverse=is_reversed)
    shown, links = page(call.request, issues)
    return reply([call.shapes.issue(repo, issue) for issue in shown], headers=links)


async def get_issue(call: Call) -> Response:
    return reply(call.shapes.issue(call.repo, call.issue()))


# --------------------------------------------------------------------------------------------------------- comments


def _body(call: Call) -> str:
    body = call.text("body", resource="IssueComment")
    if len(body) > MAX_BODY_CHARS:
        raise invalid(
            "IssueComment", "body", "unprocessable", f"body is too long (maximum is {MAX_BODY_CHARS} characters)"
        )
    return body


def _comment(call: Call) -> Comment:
    comment = call.repo.comments.get(call.number("id"))
    if comment is None or call.repo.issues[comment.number].is_deleted:
        raise not_found()
    return comment


async def list_comments(call: Call) -> Response:
    comments = [each for each in call.repo.thread(call.issue().number) if call.world.is_shown(each.id)]
    since = call.query("since")
    if since:
        comments = [comment for comment in comments if call.shapes.comment(call.repo, comment)["updated_at"] >= since]
    shown, links = page(call.request, comments)
    return reply([call.shapes.comment(call.repo, comment) for comment in shown], headers=links)


async def list_all_comments(call: Call) -> Response:
    """Those of every thread, oldest first."""
    repo, since = call.repo, call.query("since")
    comments = [each for each in repo.comments.values() if not since or stamp(each.updated_at) >= since]
    shown, links = page(call.request, comments)
    return reply([call.shapes.comment(repo, comment) for comment in shown], headers=links)


async def create_comment(call: Call) -> Response:
    repo, issue = call.repo, call.issue()
    if issue.is_locked:
        raise Refusal(403, "Unable to create comment because issue is locked.")
    comment = call.world.add_comment(repo, issue, _body(call), call.user)
    courier = call.hub.courier
    courier.send_soon("issue_comment", courier.comment("created", repo, comment, call.user))
    written = call.shapes.comment(repo, comment)
    return reply(written, 201, {"location": written["url"]})


async def get_comment(call: Call) -> Response:
    return reply(call.shapes.comment(call.repo, _comment(call)))


async def edit_comment(call: Call) -> Response:
    repo, comment, before = call.repo, _comment(call), _comment(call).body
    if call.caller.kind == "user" and comment.user is not call.user:
        raise Refusal(403, "Must have admin rights to Repository.")
    comment.edit(_body(call))
    courier, changes = call.hub.courier, {"body": {"from": before}}
    courier.send_soon("issue_comment", courier.comment("edited", repo, comment, call.user, changes=changes))
    return reply(call.shapes.comment(repo, comment))


async def delete_comment(call: Call) -> Response:
    repo, comment, courier = call.repo, _comment(call), call.hub.courier
    courier.send_soon("issue_comment", courier.comment("deleted", repo, comment, call.user))
    del repo.comments[comment.id]
    return Response(status_code=204)


# -------------------------------------------------------------------------------------------------------- reactions


def react(call: Call, reactions: list[Reaction]) -> Response:
    content = call.text("content")
    if content not in REACTIONS:
        raise invalid("Reaction", "content")
    reaction, is_new = call.world.add_reaction(reactions, content, call.user)
    return reply(call.shapes.reaction(reaction), 201 if is_new else 200)


def list_reactions(call: Call, reactions: list[Reaction]) -> Response:
    shown, links = page(
        call.request, [item for item in reactions if call.query("content", item.content) == item.content]
    )
    return reply([call.shapes.reaction(reaction) for reaction in shown], headers=links)


async def react_to_issue(call: Call) -> Response:
    return react(call, call.issue().reactions)


async def react_to_comment(call: Call) -> Response:
    return react(call, _comment(call).reactions)


async def list_issue_reactions(call: Call) -> Response:
    return list_reactions(call, call.issue().reactions)


async def list_comment_reactions(call: Call) -> Response:
    return list_reactions(call, _comment(call).reactions)


# ----------------------------------------------------------------------------------------------------------- labels


def _labels(call: Call, issue: Issue) -> Response:
    return reply([call.shapes.label(call.repo, label) for label in issue.labels])


def _tell(call: Call, issue: Issue, label: Label, action: str) -> None:
    if not isinstance(issue, PullRequest):
        repo, courier = call.repo, call.hub.courier
        shape = call.shapes.label(repo, label)
        courier.send_soon("issues", courier.issue(action, repo, issue, call.user, label=shape))


async def list_labels(call: Call) -> Response:
    return _labels(call, call.issue())


async def add_labels(call: Call) -> Response:
    repo, issue = call.repo, call.issue()
    names = call.given("labels", list, required=True)
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise invalid("Label", "name")
    for name in names:
        label = call.world.label(repo, name)
        if label not in issue.labels:
            put_label(call.world, issue, label, call.user)
            _tell(call, issue, label, "labeled")
    return _labels(call, issue)


async def remove_label(call: Call) -> Response:
    repo, issue = call.repo, call.issue()
    label = repo.labels.get(call.part("label").lower())
    if label is None or label not in issue.labels:
        raise Refusal(404, "Label does not exist")
    take_label(call.world, issue, label, call.user)
    _tell(call, issue, label, "unlabeled")
    return _labels(call, issue)


def _event(call: Call, repo: Repo, event: IssueEvent) -> Json:
    return {
        "id": event.id,
        "node_id": node_id("LE", event.id),
        "url": f"{call.shapes.repo_api(repo)}/issues/events/{event.id}",
        "actor": call.shapes.author(event.actor),
        "event": event.event,
        "commit_id": None,
        "commit_url": None,
        "created_at": stamp(event.created_at),
        "performed_via_github_app": call.shapes.app() if event.actor is call.world.bot else None,
        "label": {"name": event.label.name, "color": "ededed"},
    }


async def list_events(call: Call) -> Response:
    """The oldest first."""
    repo, issue = call.repo, call.issue()
    shown, links = page(call.request, issue.events)
    return reply([_event(call, repo, event) for event in shown], headers=links)


_REPO: Final = "/repos/{owner}/{name}"
_ISSUE: Final = f"{_REPO}/issues/{{number}}"
_COMMENT: Final = f"{_REPO}/issues/comments/{{id}}"

ROWS: Final[tuple[Row, ...]] = (
    ("GET", f"{_REPO}/issues/comments", list_all_comments, _READ),
    ("GET", _COMMENT, get_comment, _READ),
    ("PATCH", _COMMENT, edit_comment, _WRITE),
    ("DELETE", _COMMENT, delete_comment, _WRITE),
    ("GET", f"{_COMMENT}/reactions", list_comment_reactions, _READ),
    ("POST", f"{_COMMENT}/reactions", react_to_comment, _WRITE),
    ("GET", f"{_REPO}/issues", list_issues, "issues:read"),
    ("GET", _ISSUE, get_issue, _READ),
    ("GET", f"{_ISSUE}/comments", list_comments, _READ),
    ("POST", f"{_ISSUE}/comments", create_comment, _WRITE),
    ("GET", f"{_ISSUE}/reactions", list_issue_reactions, _READ),
    ("POST", f"{_ISSUE}/reactions", react_to_issue, _WRITE),
    ("GET", f"{_ISSUE}/events", list_events, _READ),
    ("GET", f"{_ISSUE}/labels", list_labels, _READ),
    ("POST", f"{_ISSUE}/labels", add_labels, _WRITE),
    ("DELETE", f"{_ISSUE}/labels/{{label:path}}", remove_label, _WRITE),
)
