"""What is read of GitHub's answers about pull requests, their threads, reactions and files."""

from datetime import datetime

from pydantic import RootModel

from app.adapters.github.answers import Account, Answer, Comment, Repository


class Head(Answer):
    """One end of a pull request; `repo` is null when its fork is gone."""

    ref: str
    sha: str = ""
    repo: Repository | None = None


class Pull(Answer):
    """`merged` and `mergeable` stand only in the answer about one."""

    number: int
    html_url: str
    title: str = ""
    body: str | None = None
    state: str = "open"
    user: Account | None = None
    draft: bool = False
    merged: bool = False
    mergeable: bool | None = None
    head: Head
    base: Head | None = None


class ReviewComment(Comment):
    """A comment in a thread of a pull request. All but the thread's first name that one in `in_reply_to_id`."""

    in_reply_to_id: int | None = None
    pull_request_review_id: int | None = None
    html_url: str = ""
    path: str = ""
    line: int | None = None
    diff_hunk: str = ""


class Review(Answer):
    """`state` is in capitals here, and in small letters in deliveries."""

    id: int
    body: str | None = None
    state: str = ""
    user: Account | None = None
    author_association: str = "NONE"
    submitted_at: datetime | None = None


class MergeCommit(Answer):
    """The answer to a merge; without a sha there was nothing to merge."""

    sha: str = ""


class Reaction(Answer):
    id: int
    user: Account | None = None
    created_at: datetime


class Content(Answer):
    """What stands at a path. `encoding` is `none` for what is larger than 1 MB."""

    type: str
    encoding: str = ""
    content: str = ""


class Pulls(RootModel[list[Pull]]):
    pass


class ReviewComments(RootModel[list[ReviewComment]]):
    pass


class Reviews(RootModel[list[Review]]):
    pass


class Reactions(RootModel[list[Reaction]]):
    pass


class Contents(RootModel[Content | list[Content]]):
    """One entry, or those of a folder."""
