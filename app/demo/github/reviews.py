"""Reviews of pull requests: a verdict, words, and comments on lines, which begin threads or go on with one.

https://docs.github.com/en/rest/pulls/reviews and https://docs.github.com/en/rest/pulls/comments
"""

import re
from collections.abc import Iterator
from typing import Final

from app.demo.github import git_shapes
from app.demo.github.shapes import Json, Shapes, stamp
from app.demo.github.state.records import PullRequest, Repo, Review, ReviewComment, Spot, User, node_id
from app.demo.github.state.world import World
from app.demo.github.webhooks import Courier

STATES: Final = ("approved", "changes_requested", "commented")
_HUNK: Final = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


class NotInDiff(Exception):
    """The line is none of those that the pull request's diff shows."""


def put_review(world: World, pull: PullRequest, user: User, sha: str, *, state: str, body: str = "") -> Review:
    review = Review(world.next_id(), user, state, body, sha)
    pull.reviews.append(review)
    pull.touch()
    return review


def put_comment(world: World, review: Review, body: str, where: Spot | ReviewComment) -> ReviewComment:
    """Add a comment of the review's author to it: on a line, or in a comment's thread."""
    first = None if isinstance(where, Spot) else where.in_reply_to or where
    spot = where if isinstance(where, Spot) else where.spot
    comment = ReviewComment(world.next_id(), review.id, review.user, body, spot, review.commit_id, first)
    review.comments.append(comment)
    return comment


def comments(pull: PullRequest) -> list[ReviewComment]:
    """All comments on lines, oldest first."""
    return sorted((each for review in pull.reviews for each in review.comments), key=lambda each: each.id)


def find(repo: Repo, comment_id: int) -> tuple[PullRequest, ReviewComment] | None:
    return next(
        ((pull, each) for pull in repo.pull_requests() for each in comments(pull) if each.id == comment_id), None
    )


def locate(diff: str, path: str, line: int) -> Spot:
    """The line of the new side in one file's diff.

    Raises:
        NotInDiff: the diff does not show it.
    """
    for position, number, hunk in _shown(diff):
        if number == line and not hunk[-1].startswith("-"):
            return Spot(path, line, "\n".join(hunk), position)
    raise NotInDiff(f"Line {line} of {path} is not part of the diff.")


def _shown(diff: str) -> Iterator[tuple[int, int, list[str]]]:
    """Each line of a file's diff: its position, its number on the new side, and its hunk down to it."""
    hunk: list[str] = []
    number, position = 0, -1
    for text in diff.splitlines():
        if begin := _HUNK.match(text):
            hunk, number, position = [text], int(begin[1]) - 1, position + 1
        elif hunk and not text.startswith("\\"):
            hunk, position = [*hunk, text], position + 1
            number += not text.startswith("-")
            yield position, number, hunk


async def events(courier: Courier, repo: Repo, pull: PullRequest, review: Review) -> list[tuple[str, Json]]:
    """What is delivered about a new review: itself, and each of its comments."""
    shapes, shape = courier.shapes, await git_shapes.pull(courier.shapes, repo, pull)
    told = review_shape(shapes, repo, pull, review) | {"state": review.state, "body": review.body or None}
    submitted = courier.about("submitted", repo, review.user) | {"review": told, "pull_request": shape}
    created = [
        courier.about("created", repo, review.user)
        | {"comment": comment_shape(shapes, repo, pull, comment), "pull_request": shape}
        for comment in review.comments
    ]
    return [("pull_request_review", submitted), *(("pull_request_review_comment", payload) for payload in created)]


# ------------------------------------------------------------------------------------------------------------- JSON


def review_shape(shapes: Shapes, repo: Repo, pull: PullRequest, review: Review) -> Json:
    """A review as the REST API writes it; webhooks write its state in small letters and no words as null."""
    url = f"{shapes.repo_api(repo)}/pulls/{pull.number}"
    html = f"{shapes.repo_html(repo)}/pull/{pull.number}#pullrequestreview-{review.id}"
    return {
        "id": review.id,
        "node_id": node_id("PRR", review.id),
        "user": shapes.user(review.user),
        "body": review.body,
        "state": review.state.upper(),
        "html_url": html,
        "pull_request_url": url,
        "_links": {"html": {"href": html}, "pull_request": {"href": url}},
        "submitted_at": stamp(review.submitted_at),
        "commit_id": review.commit_id,
        "author_association": shapes.association(repo, review.user),
    }


def comment_shape(shapes: Shapes, repo: Repo, pull: PullRequest, comment: ReviewComment) -> Json:
    api, spot = shapes.repo_api(repo), comment.spot
    url, about = f"{api}/pulls/comments/{comment.id}", f"{api}/pulls/{pull.number}"
    html = f"{shapes.repo_html(repo)}/pull/{pull.number}#discussion_r{comment.id}"
    first = {} if comment.in_reply_to is None else {"in_reply_to_id": comment.in_reply_to.id}
    return {
        "url": url,
        "pull_request_review_id": comment.review_id,
        "id": comment.id,
        "node_id": node_id("PRRC", comment.id),
        "diff_hunk": spot.hunk,
        "path": spot.path,
        **dict.fromkeys(("commit_id", "original_commit_id"), comment.commit_id),
        "user": shapes.user(comment.user),
        "body": comment.body,
        "created_at": stamp(comment.created_at),
        "updated_at": stamp(comment.updated_at),
        "html_url": html,
        "pull_request_url": about,
        "author_association": shapes.association(repo, comment.user),
        "_links": {"self": {"href": url}, "html": {"href": html}, "pull_request": {"href": about}},
        "reactions": shapes.reactions(comment.reactions, url),
        **dict.fromkeys(("start_line", "original_start_line", "start_side")),
        **dict.fromkeys(("line", "original_line"), spot.line),
        "side": "RIGHT",
        **dict.fromkeys(("position", "original_position"), spot.position),
        "subject_type": "line",
        **first,
    }
