"""`GET /api/repos/{owner}/{name}/branches/{branch}`: does it exist, at which sha?

A GitHub user's token asks GitHub itself. This process has no key of the App's, so that the operator, who is nobody on
GitHub, is told what runs know of their own branches.
"""

from dataclasses import dataclass

from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.core.errors import GitHubError
from app.core.ports.store import Store
from app.core.refs import is_branch
from app.web.api.http import as_json, tagged
from app.web.api.views import Document, Documents
from app.web.auth import Access, HeadOf, token_of


@dataclass(frozen=True, slots=True)
class BranchEndpoints:
    """The endpoint. It needs the READ role on the repository, or the operator's token."""

    store: Store
    access: Access
    documents: Documents

    def routes(self) -> list[Route]:
        return [Route("/api/repos/{owner}/{name}/branches/{branch:path}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        about = request.path_params
        repo, branch = f"{about['owner']}/{about['name']}", about["branch"]
        await self.access.lister(request, repo)
        if not is_branch(branch):
            raise HTTPException(400, "Not a valid branch name.")
        ask = None if self.access.is_operator(request) else self.access.head
        sha = await self._known(repo, branch) if ask is None else await _ask(ask, token_of(request), repo, branch)
        source = "runs" if ask is None else "github"
        document: Document = {"name": branch, "exists": sha is not None, "sha": sha, "source": source}
        return tagged(request, as_json(self.documents.cleaned(document)))

    async def _known(self, repo: str, branch: str) -> str:
        """The head that the newest run on this branch left there.

        Raises:
            HTTPException: 501, as of other branches only GitHub knows.
        """
        async for run in self.store.runs_of(repo, branch=branch):
            if run.head_sha:
                return run.head_sha
        raise HTTPException(501, "No known run has pushed to this branch. Use a GitHub user's token to query GitHub.")


async def _ask(head: HeadOf, token: SecretStr, repo: str, branch: str) -> str | None:
    try:
        return await head(token, repo, branch)
    except GitHubError as error:
        if error.status not in {401, 403} or error.retry_after_s is not None:
            raise
        raise HTTPException(403, f"This token doesn't have permission to read the contents of {repo}.") from error
