"""REST: reviews of pull requests, the threads of comments on their lines, and who is asked for a review."""

from typing import Final

from starlette.responses import Response

from app.demo.github import git_shapes, reviews
from app.demo.github.api.pulls import find_pull
from app.demo.github.api.threads import MAX_BODY_CHARS, list_reactions, react
from app.demo.github.call import Call, Row
from app.demo.github.responses import Refusal, invalid, not_found, page, reply
from app.demo.github.shapes import Json
from app.demo.github.state.records import PullRequest, Repo, ReviewComment


def _comment(call: Call) -> tuple[PullRequest, ReviewComment]:
    found = reviews.find(call.repo, call.number("id"))
    if found is None or (call.request.method == "GET" and not call.world.is_shown(found[1].id)):
        raise not_found()
    return found


def _shape(call: Call, pull: PullRequest, comment: ReviewComment) -> Json:
    return reviews.comment_shape(call.shapes, call.repo, pull, comment)


def _body(call: Call) -> str:
    body = call.text("body", resource="PullRequestReviewComment")
    if len(body) > MAX_BODY_CHARS:
        raise invalid("PullRequestReviewComment", "body", "unprocessable", "body is too long")
    return body


async def list_reviews(call: Call) -> Response:
    pull = find_pull(call)
    shown, links = page(call.request, pull.reviews)
    return reply([reviews.review_shape(call.shapes, call.repo, pull, each) for each in shown], headers=links)


async def list_comments(call: Call) -> Response:
    pull = find_pull(call)
    comments = [each for each in reviews.comments(pull) if call.world.is_shown(each.id)]
    shown, links = page(call.request, comments)
    return reply([_shape(call, pull, comment) for comment in shown], headers=links)


async def get_comment(call: Call) -> Response:
    return reply(_shape(call, *_comment(call)))


async def edit_comment(call: Call) -> Response:
    pull, comment = _comment(call)
    if comment.user is not call.user:
        raise Refusal(403, "Resource not accessible by integration")
    comment.edit(_body(call))
    return reply(_shape(call, pull, comment))


async def create_reply(call: Call) -> Response:
    """Go on with a thread: only its first comment is replied to."""
    repo, pull, body = call.repo, find_pull(call), _body(call)
    _, first = _comment(call)
    if first not in reviews.comments(pull) or first.in_reply_to is not None:
        raise not_found()
    return await _reply(call, repo, pull, first, body)


async def create_comment(call: Call) -> Response:
    """Go on with a thread by `in_reply_to`; a comment that begins one is not known here."""
    repo, pull, body = call.repo, find_pull(call), _body(call)
    wanted = call.given("in_reply_to", int)
    first = next((each for each in reviews.comments(pull) if each.id == wanted), None)
    if first is None:
        raise invalid("PullRequestReviewComment", "in_reply_to")
    return await _reply(call, repo, pull, first.in_reply_to or first, body)


async def _reply(call: Call, repo: Repo, pull: PullRequest, first: ReviewComment, body: str) -> Response:
    _, sha = await git_shapes.ends(repo, pull)
    made = reviews.put_review(call.world, pull, call.user, sha, state="commented")
    comment = reviews.put_comment(call.world, made, body, first)
    for event, payload in await reviews.events(call.hub.courier, repo, pull, made):
        call.hub.courier.send_soon(event, payload)
    answer = _shape(call, pull, comment)
    return reply(answer, 201, {"location": answer["url"]})


async def react_to_comment(call: Call) -> Response:
    return react(call, _comment(call)[1].reactions)


async def list_comment_reactions(call: Call) -> Response:
    return list_reactions(call, _comment(call)[1].reactions)


def _check_sees_teams(call: Call, slugs: list[object]) -> None:
    """Teams are the organization's: a token without `members: read`, or one for chosen repositories, sees none."""
    token = call.caller.token
    if not slugs or token is None or token.installation is None:
        return
    if token.permissions.get("members") not in {"read", "write"} or token.repo_ids is not None:
        node = git_shapes.git_node(call.repo, "T", str(slugs[0]))
        raise Refusal(422, "Validation Failed", errors=[f"Could not resolve to a node with the global id of '{node}'."])


async def request_reviews(call: Call) -> Response:
    """Ask collaborators and teams; all of them, or nobody."""
    repo, pull = call.repo, find_pull(call)
    logins, slugs = call.given("reviewers", list) or [], call.given("team_reviewers", list) or []
    people = [call.world.users.get(str(login).lower()) for login in logins]
    _check_sees_teams(call, slugs)
    if pull.user in people:
        raise Refusal(422, "Review cannot be requested from pull request author.")
    known = [user for user in people if user is not None and repo.roles.get(user.login.lower(), "none") != "none"]
    if len(known) < len(people) or not set(slugs) <= repo.teams:
        message = (
            "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not "
            f"a collaborator of the {repo.full_name} repository."
        )
        raise Refusal(422, message)
    pull.reviewers += [user for user in known if user not in pull.reviewers]
    pull.teams += [slug for slug in slugs if slug not in pull.teams]
    return reply(await git_shapes.pull(call.shapes, repo, pull), 201)


_PULLS: Final = "/repos/{owner}/{name}/pulls"
_COMMENT: Final = f"{_PULLS}/comments/{{id}}"

ROWS: Final[tuple[Row, ...]] = (
    ("GET", _COMMENT, get_comment, "pull_requests:read"),
    ("PATCH", _COMMENT, edit_comment, "pull_requests:write"),
    ("GET", f"{_COMMENT}/reactions", list_comment_reactions, "pull_requests:read"),
    ("POST", f"{_COMMENT}/reactions", react_to_comment, "pull_requests:write"),
    ("GET", f"{_PULLS}/{{number}}/comments", list_comments, "pull_requests:read"),
    ("POST", f"{_PULLS}/{{number}}/comments", create_comment, "pull_requests:write"),
    ("POST", f"{_PULLS}/{{number}}/comments/{{id}}/replies", create_reply, "pull_requests:write"),
    ("GET", f"{_PULLS}/{{number}}/reviews", list_reviews, "pull_requests:read"),
    ("POST", f"{_PULLS}/{{number}}/requested_reviewers", request_reviews, "pull_requests:write"),
)
