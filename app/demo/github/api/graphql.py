"""GraphQL: one mutation, `createCommitOnBranch`, its input in a variable.

The selection is honoured and checked, so that a query that the real schema refuses is refused here too.
https://docs.github.com/en/graphql/reference/mutations#createcommitonbranch
"""

import re
from typing import Any, Final, NoReturn

from starlette.requests import Request
from starlette.responses import Response

from app.demo.github.api import rulesets
from app.demo.github.api.git_data import decode_base64
from app.demo.github.call import ARCHIVED, Call, Hub, admit
from app.demo.github.responses import Refusal, parse_body, reply
from app.demo.github.shapes import Json, stamp
from app.demo.github.state.bare_repo import SHA, Commit, Entry, GitFailed, Identity
from app.demo.github.state.records import Repo

_MUTATION: Final = "createCommitOnBranch"
_PART: Final = re.compile(r"[{}]|\([^)]*\)|\$?[A-Za-z_]\w*")
_INPUT: Final = re.compile(_MUTATION + r"\s*\(\s*input\s*:\s*\$(\w+)\s*\)")
_FIELDS: Final = {"branch", "message", "expectedHeadOid", "fileChanges", "clientMutationId"}
_GITHUB: Final = Identity("GitHub", "noreply@github.com")
_NO_COMMIT: Final = Commit("", "", (), _GITHUB, _GITHUB, "")
Selection = dict[str, "Selection"]


class GraphQLRefusal(Exception):
    """An error in a GraphQL answer. `kind` is GitHub's `type`; empty for a query that is itself wrong."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


def parse_selection(query: str) -> Selection:
    """The fields that a query without aliases or fragments asks for, nested."""
    root: Selection = {}
    stack, last = [root], ""
    for part in _PART.findall(query.partition("{")[2]):
        if part == "{":
            stack.append(stack[-1].setdefault(last, {}))
        elif part == "}":
            stack.pop()
        elif not part.startswith(("(", "$")):
            last = part
            stack[-1][part] = {}
        if not stack:
            return root
    raise GraphQLRefusal("Expected a closing brace")


def choose(data: Any, selection: Selection, kind: str) -> Any:
    """Only what was selected; a field that is not there is refused, as are leaves taken for objects and the reverse."""
    if not isinstance(data, dict):
        if selection:
            raise GraphQLRefusal(f"Selections can't be made on scalars (field '{kind}')")
        return data
    if not selection:
        raise GraphQLRefusal(f"Field must have selections (field '{kind}' returns an object)")
    for name in selection:
        if name not in data:
            raise GraphQLRefusal(f"Field '{name}' doesn't exist on type '{kind}'")
    return {name: choose(data[name], inner, name) for name, inner in selection.items()}


def _wrong(path: str, why: str) -> NoReturn:
    raise GraphQLRefusal(
        f"Variable $input of type CreateCommitOnBranchInput! was provided invalid value for {path} ({why})"
    )


def _text(container: Any, name: str, path: str) -> str:
    value = container.get(name) if isinstance(container, dict) else None
    if value is None:
        _wrong(path, "Expected value to not be null")
    if not isinstance(value, str):
        _wrong(path, f"Could not coerce value {value} to String")
    return value


def _repo(call: Call, branch: Json) -> Repo:
    full_name = _text(branch, "repositoryNameWithOwner", "branch.repositoryNameWithOwner")
    repo = call.world.repos.get(full_name.lower())
    if repo is None or not call.caller.sees(repo):
        raise GraphQLRefusal(f"Could not resolve to a Repository with the name '{full_name}'.", "NOT_FOUND")
    if not call.caller.may(repo, "contents", "write"):
        raise GraphQLRefusal("Resource not accessible by integration", "FORBIDDEN")
    if repo.archived:
        raise GraphQLRefusal(ARCHIVED, "FORBIDDEN")
    return repo


async def _entries(repo: Repo, head: str, changes: Any) -> list[Entry]:
    """The new tree's entries; an addition keeps an existing file's mode, as on GitHub."""
    if not isinstance(changes, dict) or not set(changes) <= {"additions", "deletions"}:
        _wrong("fileChanges", "Expected value to be an object of additions and deletions")
    known = {entry.path: entry for entry in await repo.git.tree(head, recursive=True)}
    entries = []
    for index, item in enumerate(changes.get("deletions") or []):
        path = _text(item, "path", f"fileChanges.deletions.{index}.path")
        if path not in known:
            message = f"A path was requested for deletion which does not exist as of commit oid `{head}`"
            raise GraphQLRefusal(message, "UNPROCESSABLE")
        entries.append(Entry(path, "0", None))
    for index, item in enumerate(changes.get("additions") or []):
        path = _text(item, "path", f"fileChanges.additions.{index}.path")
        data = decode_base64(_text(item, "contents", f"fileChanges.additions.{index}.contents"))
        mode = known[path].mode if path in known and known[path].kind == "blob" else "100644"
        entries.append(Entry(path, mode, await repo.git.write_blob(data)))
    return entries


async def create_commit_on_branch(call: Call, given: Any) -> Json:
    """Put one signed commit on a branch that stands where the caller expects it."""
    if not isinstance(given, dict) or not set(given) <= _FIELDS:
        _wrong("input", "Field is not defined on CreateCommitOnBranchInput")
    repo = _repo(call, given.get("branch") or {})
    name = _text(given.get("branch"), "branchName", "branch.branchName").removeprefix("refs/heads/")
    expected = _text(given, "expectedHeadOid", "expectedHeadOid")
    headline = _text(given.get("message"), "headline", "message.headline")
    body = given["message"].get("body") or ""
    head = await repo.git.head(name)
    if head is None:
        raise GraphQLRefusal(f'Branch "{name}" could not be found.', "NOT_FOUND")
    if not SHA.fullmatch(expected) or head != expected:
        raise _stale(expected)
    try:
        tree = await repo.git.write_tree(head, await _entries(repo, head, given.get("fileChanges") or {}))
    except GitFailed as error:
        raise GraphQLRefusal("A path is malformed.", "UNPROCESSABLE") from error
    message = f"{headline}\n\n{body}".rstrip()
    author = call.user.identity()
    committer = Identity(_GITHUB.name, _GITHUB.email, author.at)
    sha = await repo.git.write_commit(Commit("", tree, (head,), author, committer, message))
    try:
        emails = author.email, committer.email
        rulesets.check_commit(call, repo, name, message, emails=emails, signed=call.world.is_signing)
    except Refusal as error:
        raise GraphQLRefusal(error.message, "UNPROCESSABLE") from error
    if path := await rulesets.brings_workflow(call, repo, sha, head):
        raise GraphQLRefusal(rulesets.workflow_words(path), "FORBIDDEN")
    try:
        await repo.git.update_ref(f"refs/heads/{name}", sha, head)
    except GitFailed as error:
        raise _stale(expected) from error
    if call.world.is_signing:
        repo.signed.add(sha)
    await call.hub.ci.pushed(repo, name, call.user)
    url = f"{call.shapes.repo_html(repo)}/commit/{sha}"
    return _payload(await repo.git.commit(sha), url, name, given.get("clientMutationId"))


def _stale(expected: str) -> GraphQLRefusal:
    return GraphQLRefusal(
        f'Expected branch to point to "{expected}" but it did not.  Pull and try again.', "STALE_DATA"
    )


def _payload(commit: Commit, url: str, branch: str, mutation_id: str | None) -> Json:
    """All that can be selected of the answer."""
    headline, _, body = commit.message.partition("\n\n")
    git_commit = {
        "id": f"C_{commit.sha}",
        "oid": commit.sha,
        "abbreviatedOid": commit.sha[:7],
        "url": url,
        "commitUrl": url,
        "message": commit.message,
        "messageHeadline": headline,
        "messageBody": body,
        "committedDate": stamp(commit.committer.at),
        "signature": {"isValid": True, "state": "VALID", "wasSignedByGitHub": True},
        "author": {"name": commit.author.name, "email": commit.author.email},
        "committer": {"name": commit.committer.name, "email": commit.committer.email},
        "tree": {"oid": commit.tree},
    }
    ref = {"id": f"REF_{branch}", "name": branch, "prefix": "refs/heads/", "target": {"oid": commit.sha}}
    return {"clientMutationId": mutation_id, "commit": git_commit, "ref": ref}


async def _carry_out(call: Call, body: Json) -> Json:
    query, variables = body.get("query"), body.get("variables") or {}
    if not isinstance(query, str) or not query.strip():
        raise Refusal(400, "A query attribute must be specified and must be a string.")
    selection = parse_selection(query)
    is_mutation = query.lstrip().startswith("mutation")
    unknown = [name for name in selection if not is_mutation or name != _MUTATION]
    if unknown or not selection:
        kind = "Mutation" if is_mutation else "Query"
        raise GraphQLRefusal(f"Field '{', '.join(unknown)}' doesn't exist on type '{kind}'")
    variable = _INPUT.search(query)
    if variable is None:
        raise GraphQLRefusal(f"Field '{_MUTATION}' is missing required arguments: input")
    choose(_payload(_NO_COMMIT, "", "", ""), selection[_MUTATION], _MUTATION)  # a wrong selection changes nothing
    answer = await create_commit_on_branch(call, variables.get(variable[1]))
    return {_MUTATION: choose(answer, selection[_MUTATION], _MUTATION)}


async def serve(hub: Hub, request: Request) -> Response:
    """Answer a GraphQL request: 200 whatever comes of it, save for bad credentials and what is no JSON."""
    call = admit(hub, request, "any")
    body = await parse_body(request)
    try:
        return reply({"data": await _carry_out(call, body)})
    except GraphQLRefusal as error:
        if not error.kind:
            return reply({"errors": [{"message": str(error), "locations": [{"line": 1, "column": 1}]}]})
        fault = {
            "type": error.kind,
            "path": [_MUTATION],
            "locations": [{"line": 1, "column": 48}],
            "message": str(error),
        }
        return reply({"data": {_MUTATION: None}, "errors": [fault]})
