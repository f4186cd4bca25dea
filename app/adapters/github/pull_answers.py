"""What is read of GitHub's answers about pull requests, their threads, reactions and files."""

from datetime import datetime

from pydantic import RootModel

from app.adapters.github.answers import Account, Answer, Repository


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


class ReviewComment(Answer):
    """A comment in a thread of a pull request. All but the thread's first name that one in `in_reply_to_id`."""

    id: int
    body: str | None = None
    user: Account | None = None
    in_reply_to_id: int | None = None
    html_url: str = ""


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


class Reactions(RootModel[list[Reaction]]):
    pass


class Contents(RootModel[Content | list[Content]]):
    """One entry, or those of a folder."""
