"""Refs, objects, commits and fetching at the embedded GitHub: real git underneath."""

import asyncio
import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO, commit_input, mint

github = demo_github.github
api = demo_github.api

MUTATION = """
mutation ($input: CreateCommitOnBranchInput!) {
  createCommitOnBranch(input: $input) { commit { oid url signature { isValid } } }
}
"""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def graphql(api: httpx.AsyncClient, given: Mapping[str, object], query: str = MUTATION) -> Any:
    url = f"{api.base_url.scheme}://{api.base_url.netloc.decode()}/api/graphql"
    answer = await api.post(url, json={"query": query, "variables": {"input": given}})
    assert answer.status_code == 200
    return answer.json()


async def git(*argv: str, token: str = "", name: str = "x-access-token") -> tuple[int, str]:
    header = f"Authorization: Basic {demo_github.basic(token, name)}" if token else "X-None: 1"
    config = ("-c", f"http.extraHeader={header}", "-c", "credential.helper=")
    process = await asyncio.create_subprocess_exec(
        "git", *config, *argv, stdout=-1, stderr=-2, env={"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0"}
    )
    async with asyncio.timeout(20):
        printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def test_a_commit_changes_adds_and_deletes_files(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    head = await github.head(REPO, "main") or ""
    additions = [
        {"path": "greet.py", "contents": encoded("print('hello')\n")},
        {"path": "a/b.txt", "contents": encoded("b\n")},
    ]
    changes = {"additions": additions, "deletions": [{"path": "README.md"}]}

    made = (await graphql(api, commit_input("main", head, changes)))["data"]["createCommitOnBranch"]["commit"]

    assert made["oid"] == await github.head(REPO, "main")
    assert made["signature"] == {"isValid": True}
    assert await github.file(REPO, "main", "greet.py") == b"print('hello')\n"
    assert await github.file(REPO, "main", "a/b.txt") == b"b\n"
    assert await github.file(REPO, "main", "README.md") is None
    assert (await github.log(REPO, "main"))[0].parents == (head,)


async def test_a_commit_on_a_moved_head_is_stale(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    head = await github.head(REPO, "main") or ""
    moved = await github.push(REPO, "main", {"x": "x"}, message="Meanwhile", by="mona")

    answer = await graphql(api, commit_input("main", head, {}))

    assert answer["data"] == {"createCommitOnBranch": None}
    assert answer["errors"][0]["type"] == "STALE_DATA"
    assert answer["errors"][0]["message"] == (
        f'Expected branch to point to "{head}" but it did not.  Pull and try again.'
    )
    assert await github.head(REPO, "main") == moved


async def test_of_two_commits_at_once_one_is_stale(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    head = await github.head(REPO, "main") or ""
    wanted = [commit_input("main", head, {}, headline=f"Commit {n}") for n in range(5)]

    answers = await asyncio.gather(*(graphql(api, given) for given in wanted))

    assert sorted("errors" in answer for answer in answers) == [False, True, True, True, True]
    assert len(await github.log(REPO, "main")) == 2


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"branch": {"repositoryNameWithOwner": "acme/nope", "branchName": "main"}}, "NOT_FOUND"),
        ({"branch": {"repositoryNameWithOwner": REPO, "branchName": "nope"}}, "NOT_FOUND"),
        ({"fileChanges": {"deletions": [{"path": "nope.txt"}]}}, "UNPROCESSABLE"),
        ({"fileChanges": {"additions": [{"path": ".git/config", "contents": ""}]}}, "UNPROCESSABLE"),
        ({"fileChanges": {"additions": [{"path": "../up", "contents": ""}]}}, "UNPROCESSABLE"),
        ({"message": {}}, None),
        ({"force": True}, None),
    ],
)
async def test_a_commit_that_cannot_be_is_an_error(
    github: DemoGitHub, api: httpx.AsyncClient, change: Mapping[str, object], kind: str | None
) -> None:
    head = await github.head(REPO, "main") or ""

    answer = await graphql(api, {**commit_input("main", head, {}), **change})

    assert answer["errors"][0].get("type") == kind
    assert await github.head(REPO, "main") == head


@pytest.mark.parametrize(
    "query",
    [
        "query { viewer { login } }",
        "mutation($input: X!) { mergePullRequest(input: $input) { clientMutationId } }",
        MUTATION.replace("oid", "sha"),
        MUTATION.replace("signature { isValid }", "signature"),
        "mutation { createCommitOnBranch { commit { oid } } }",
    ],
)
async def test_a_query_outside_the_schema_is_an_error_and_changes_nothing(
    github: DemoGitHub, api: httpx.AsyncClient, query: str
) -> None:
    head = await github.head(REPO, "main") or ""

    assert "errors" in await graphql(api, commit_input("main", head, {}), query)
    assert await github.head(REPO, "main") == head


async def test_a_commit_of_modes_and_links_is_made_of_git_objects(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    head = await github.head(REPO, "main") or ""
    blob = (await api.post("/git/blobs", json={"content": encoded("\0binary"), "encoding": "base64"})).json()["sha"]
    entries = [
        {"path": "run.sh", "mode": "100755", "type": "blob", "content": "#!/bin/sh\n"},
        {"path": "link", "mode": "120000", "type": "blob", "content": "greet.py"},
        {"path": "data.bin", "mode": "100644", "type": "blob", "sha": blob},
        {"path": "README.md", "mode": "100644", "type": "blob", "sha": None},
    ]
    base = (await api.get(f"/git/commits/{head}")).json()["tree"]["sha"]
    tree = (await api.post("/git/trees", json={"base_tree": base, "tree": entries})).json()["sha"]
    body = {"message": "Modes", "tree": tree, "parents": [head]}
    sha = (await api.post("/git/commits", json=body)).json()["sha"]

    moved = await api.patch("/git/refs/heads/main", json={"sha": sha})

    listed = (await api.get("/git/trees/main?recursive=1")).json()["tree"]
    assert moved.status_code == 200
    assert {entry["path"]: entry["mode"] for entry in listed} == {
        "data.bin": "100644",
        "greet.py": "100644",
        "link": "120000",
        "run.sh": "100755",
    }
    assert await github.file(REPO, "main", "data.bin") == b"\0binary"


async def test_a_branch_is_made_once_and_moved_forward_only(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    first = await github.head(REPO, "main") or ""
    second = await github.push(REPO, "main", {"x": "x"}, message="Second", by="mona")
    wanted = {"ref": "refs/heads/vibecode/1-fix", "sha": second}

    created, again = [await api.post("/git/refs", json=wanted) for _ in range(2)]
    back = await api.patch("/git/refs/heads/vibecode%2F1-fix", json={"sha": first})
    forced = await api.patch("/git/refs/heads/vibecode/1-fix", json={"sha": first, "force": True})

    assert (created.status_code, again.status_code) == (201, 422)
    assert again.json()["message"] == "Reference already exists"
    assert (back.status_code, back.json()["message"]) == (422, "Update is not a fast forward")
    assert forced.json()["object"]["sha"] == first
    assert (await api.get("/branches/vibecode%2F1-fix")).json()["commit"]["sha"] == first
    assert (await api.delete("/git/refs/heads/vibecode/1-fix")).status_code == 204
    assert (await api.get("/git/ref/heads/vibecode/1-fix")).status_code == 404


@pytest.mark.parametrize("name", ["main", "refs/heads/a..b", "refs/heads/-x ", "refs/heads/x.lock"])
async def test_a_bad_ref_name_is_refused(github: DemoGitHub, api: httpx.AsyncClient, name: str) -> None:
    answer = await api.post("/git/refs", json={"ref": name, "sha": await github.head(REPO, "main")})

    assert answer.status_code == 422


async def test_a_token_with_contents_fetches(github: DemoGitHub, tmp_path: Path) -> None:
    token = await mint(github, permissions={"contents": "read"})
    for version in ("2", "1", "0"):
        target = tmp_path / version

        code, printed = await git(
            "-c", f"protocol.version={version}", "clone", "-q", *_urls(github, target), token=token
        )

        assert (code, printed) == (0, "")
        assert (target / "greet.py").read_text() == "print('helo')\n"


async def test_a_second_fetch_brings_only_what_is_new(github: DemoGitHub, tmp_path: Path) -> None:
    token = await mint(github)
    await git("clone", "-q", *_urls(github, tmp_path / "clone"), token=token)
    sha = await github.push(REPO, "main", {"x": "x" * 10_000}, message="More", by="mona")

    code, _ = await git("-C", str(tmp_path / "clone"), "fetch", "-q", "--depth=1", "origin", sha, token=token)

    assert code == 0
    assert [request.token for request in github.requests if ".git/" in request.path] == ["installation"] * 6


async def test_fetching_needs_a_good_token_even_from_a_public_repository(github: DemoGitHub, tmp_path: Path) -> None:
    await github.repo("acme/other", files={"x": "x"})
    no_contents = await mint(github, permissions={"issues": "read"})
    elsewhere = await mint(github, repositories=["other"])
    good = await mint(github)

    for token, name in ((("", "")), ("ghs_wrong", "x-access-token"), (no_contents, "x-access-token"), (good, "mona")):
        code, _ = await git("ls-remote", _urls(github, tmp_path)[0], token=token, name=name)
        assert code != 0
    code, printed = await git("ls-remote", _urls(github, tmp_path)[0], token=elsewhere)
    assert code != 0
    assert "not found" in printed


async def test_pushing_over_http_is_refused(github: DemoGitHub, tmp_path: Path) -> None:
    token, clone = await mint(github), str(tmp_path / "clone")
    await git("clone", "-q", *_urls(github, tmp_path / "clone"), token=token)

    code, _ = await git("-C", clone, "push", "-q", "origin", "HEAD:refs/heads/x", token=token)

    assert code != 0
    assert await github.head(REPO, "x") is None


def _urls(github: DemoGitHub, target: Path) -> tuple[str, str]:
    return f"{github.url}/{REPO}.git", str(target)
