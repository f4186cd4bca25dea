"""Who may read and who may write: the operator, a GitHub user, or whoever holds a run's link.

    operator's token   Bearer, or the cookie it was exchanged for     every run, read and write
    GitHub user token  Bearer                                         runs of repositories where the role allows it
    ?key=              the unguessable link of `core/run/links.py`        reading one run

The token is checked before anything is looked up, and what one may not know of is 404: nobody learns which runs exist.
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Final, TypeAlias

from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import Request

from app.core.policy.authorization import Action, Role, authorize
from app.core.policy.repo_config import CachedConfig
from app.core.ports.clock import Clock
from app.core.run.job import ID_SEPARATOR, Person
from app.core.run.links import opens, opens_setup, sign
from app.web.limits import Buckets, origin_of

RoleOf: TypeAlias = Callable[[SecretStr, str], Awaitable[tuple[Person, Role] | None]]
"""A GitHub user token and `owner/name` to who that is and their role; None when GitHub does not know the token."""
HeadOf: TypeAlias = Callable[[SecretStr, str, str], Awaitable[str | None]]
"""A GitHub user token, `owner/name` and a branch to the sha at its head; None when there is no such branch."""

COOKIE: Final = "vibecoder"
SESSION: Final = "session"
SESSION_S: Final = 12 * 3600
KNOWN_S: Final = 5.0
OPERATOR: Final = Person("operator")

_MAX_KNOWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class Access:
    """The rules, for one deployment. `operator_sha256` is the operator's token as `digest_of` gives it; empty: none.

    Without `role` no GitHub user gets in. An answer of `role` is believed for some seconds. An address may have GitHub
    asked 20 times at once and then every 2 s, so that nobody can make this program send GitHub a flood of bad tokens.
    """

    clock: Clock
    link_secret: SecretStr
    operator_sha256: str = ""
    role: RoleOf | None = None
    head: HeadOf | None = None
    _asking: Buckets = field(default_factory=lambda: Buckets(rate=0.5, burst=20), repr=False, compare=False)
    _known: OrderedDict[str, tuple[float, tuple[Person, Role] | None]] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not self.link_secret.get_secret_value():
            raise ValueError("The link secret is empty, so anyone could forge links.")

    async def reader(self, request: Request, job_id: str) -> Person | None:
        """Who reads this run; None for the holder of its link.

        Raises:
            HTTPException: 401 or 404.
        """
        if opens(self.link_secret, job_id, request.query_params.get("key", "")):
            return None
        return (await self._viewer(request, repo_of(job_id)))[0]

    async def sender(self, request: Request, repo: str) -> tuple[Person, Role]:
        """Who wants something done in `repo`, which need not be one that this deployment knows, and their role there.
        A link is not enough, nor is a cookie. Whether they may is for `core/policy/authorization.py` to say.

        Raises:
            HTTPException: 401, or 404 for who may not even see it.
        """
        return await self._viewer(request, repo)

    def check_token(self, request: Request) -> None:
        """See that there is a token at all, before a stranger's body is read.

        Raises:
            HTTPException: 401.
        """
        if self.role is None and not self.is_operator(request):
            raise _unauthorized()
        token_of(request)

    async def lister(self, request: Request, repo: str) -> Person:
        """Who lists the runs of `repo`; only the operator may leave it empty.

        Raises:
            HTTPException: 400, 401 or 404.
        """
        if not repo and not self.is_operator(request):
            token_of(request)
            raise HTTPException(400, "Specify the repository: ?repo=owner/name.")
        return (await self._viewer(request, repo))[0]

    def operator(self, request: Request) -> Person:
        """The operator, by token.

        Raises:
            HTTPException: 401.
        """
        if not self.knows(token_of(request)):
            raise _unauthorized()
        return OPERATOR

    def is_operator(self, request: Request) -> bool:
        """Whether the operator reads: by token, or with the cookie, which is worth nothing for writing."""
        if not self.operator_sha256:
            return False
        if request.method in {"GET", "HEAD"} and self.accepts_ticket(SESSION, request.cookies.get(COOKIE, "")):
            return True
        return _has_token(request) and self.knows(token_of(request))

    def may_set_up(self, request: Request) -> bool:
        """Whether the App may be made here: by the operator, or with the key shown on the operator's own screen."""
        return self.is_operator(request) or opens_setup(self.link_secret, request.query_params.get("key", ""))

    def knows(self, token: SecretStr) -> bool:
        """Whether it is the operator's token, in constant time."""
        return bool(self.operator_sha256) and hmac.compare_digest(digest_of(token), self.operator_sha256.lower())

    def ticket(self, purpose: str, lifetime_s: int) -> str:
        """A text that `accepts_ticket` takes until it expires, or the operator's token or the link secret changes."""
        expires_at = str(int(self.clock.now().timestamp()) + lifetime_s)
        return f"{expires_at}.{self._signature(purpose, expires_at)}"

    def accepts_ticket(self, purpose: str, ticket: str) -> bool:
        """Whether it is a ticket of ours for this purpose that holds now."""
        expires_at, _, signature = ticket.partition(".")
        if not (expires_at.isascii() and expires_at.isdecimal() and len(expires_at) < 12):
            return False
        is_ours = hmac.compare_digest(self._signature(purpose, expires_at).encode(), signature.encode())
        return is_ours and int(expires_at) > self.clock.now().timestamp()

    def _signature(self, purpose: str, expires_at: str) -> str:
        return sign(self.link_secret, purpose, f"{self.operator_sha256}\0{expires_at}")

    async def _viewer(self, request: Request, repo: str) -> tuple[Person, Role]:
        if self.is_operator(request):
            return OPERATOR, Role.ADMIN
        person, role = await self._role(request, repo)
        if not authorize(person, Action.VIEW, role, CachedConfig()).is_allowed:
            raise HTTPException(404, "Not found, or you don't have access.")
        return person, role

    async def _role(self, request: Request, repo: str) -> tuple[Person, Role]:
        token = token_of(request)
        if self.role is None:
            raise _unauthorized()
        key, now = f"{digest_of(token)} {repo.lower()}", self.clock.monotonic()
        kept_at, answer = self._known.get(key, (-KNOWN_S, None))
        if now - kept_at >= KNOWN_S:
            if wait_s := ceil(self._asking.take(origin_of(request.scope), now)):
                detail = f"Too many tokens or repositories at once. Try again in {wait_s} s."
                raise HTTPException(429, detail, {"Retry-After": str(wait_s)})
            answer = await self.role(token, repo)
            self._known[key] = (now, answer)
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        if answer is None:
            raise _unauthorized()
        return answer


def digest_of(token: SecretStr) -> str:
    """The form in which a token is kept: hexadecimal SHA-256. Fit for long random tokens, not for passwords."""
    return hashlib.sha256(token.get_secret_value().encode("utf-8", "surrogatepass")).hexdigest()


def _has_token(request: Request) -> bool:
    return request.headers.get("authorization", "").lower().startswith("bearer ")


def token_of(request: Request) -> SecretStr:
    """The Bearer token as it was sent.

    Raises:
        HTTPException: 401, as there is none.
    """
    if not _has_token(request):
        raise _unauthorized()
    return SecretStr(request.headers["authorization"][len("bearer ") :].strip())


def _unauthorized() -> HTTPException:
    detail = "Send the operator's API token or a GitHub user token as `Authorization: Bearer …`."
    return HTTPException(401, detail, {"WWW-Authenticate": 'Bearer realm="vibecoder"'})


def repo_of(job_id: str) -> str:
    """The repository that an id names, so that nothing has to be looked up before the token is checked."""
    owner, _, rest = job_id.partition(ID_SEPARATOR)
    name, separator, _ = rest.partition(ID_SEPARATOR)
    if not (owner and name and separator):
        raise HTTPException(404, "Not found, or you don't have access.")
    return f"{owner}/{name}"
