"""Who calls, and what they may: App JWTs, installation tokens, user tokens, as strict as the real one.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

import base64
import binascii
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import jwt

from app.demo.github.responses import Refusal
from app.demo.github.state.records import Installation, Repo, Token, now
from app.demo.github.state.world import ROLES, World

MAX_JWT_LIFE_S: Final = 600
_CLOCK_SKEW_S: Final = 60
_LEVELS: Final = ("none", "read", "write", "admin")
_NOT_A_JWT: Final = "A JSON web token could not be decoded"


@dataclass(frozen=True, slots=True)
class Caller:
    """`kind` is `app`, `installation`, `user` or `none`; `token` is set for the middle two."""

    kind: str
    token: Token | None = None

    @property
    def name(self) -> str:
        """As messages about limits name it."""
        if self.token is None:
            return self.kind
        if self.token.user is not None:
            return f"user ID {self.token.user.id}"
        return f"installation ID {self.token.installation.id if self.token.installation else 0}"

    def sees(self, repo: Repo) -> bool:
        if self.token is None:
            return False
        if self.token.user is not None:
            return repo.role(self.token.user) != "none"
        installation, ids = self.token.installation, self.token.repo_ids
        return installation is not None and installation.id == repo.installation_id and (ids is None or repo.id in ids)

    def may(self, repo: Repo, permission: str, level: str) -> bool:
        """Whether the caller has, say, `contents: write` on a repository it sees."""
        if self.token is None:
            return False
        if self.token.user is not None:
            least = "read" if level == "read" else "write"
            return ROLES.index(repo.role(self.token.user)) >= ROLES.index(least)
        held = self.token.permissions.get(permission, "none")
        return _LEVELS.index(held) >= _LEVELS.index(level)


NOBODY: Final = Caller("none")


def _verify_jwt(world: World, credential: str) -> None:
    """Check an App's JSON web token: RS256 by the App's key, `iss` the App, ten minutes at most."""
    try:
        claims = jwt.decode(
            credential,
            world.public_key,
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
        )
    except jwt.PyJWTError as error:
        raise Refusal(401, _NOT_A_JWT) from error
    issued, expires, moment = claims.get("iat"), claims.get("exp"), time.time() + world.ahead_s
    if str(claims.get("iss")) != str(world.app_id):
        raise Refusal(
            401, "'Issuer' claim ('iss') must be an Integer" if "iss" not in claims else "Integration not found"
        )
    if not isinstance(issued, int) or issued > moment + _CLOCK_SKEW_S:
        raise Refusal(
            401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        )
    if not isinstance(expires, int) or expires <= moment:
        raise Refusal(
            401,
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the "
            "assertion expires",
        )
    if expires > moment + MAX_JWT_LIFE_S:
        raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")


def bearer(world: World, value: str) -> Token | None:
    """The living token of that value."""
    token = world.tokens.get(value)
    moment = now() + timedelta(seconds=world.ahead_s)
    return None if token is None or (token.expires_at is not None and token.expires_at <= moment) else token


def check_not_suspended(installation: Installation) -> None:
    if installation.suspended_at is not None:
        raise Refusal(403, "This installation has been suspended")


def identify(world: World, authorization: str) -> Caller:
    """Who an `Authorization` header speaks for.

    Raises:
        Refusal: 401, the credential is bad; 403, its installation is suspended.
    """
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() not in {"bearer", "token"} or not credential:
        return NOBODY
    if credential.count(".") == 2:
        _verify_jwt(world, credential)
        return Caller("app")
    token = bearer(world, credential)
    if token is None:
        raise Refusal(401, "Bad credentials")
    if token.installation is not None:
        check_not_suspended(token.installation)
    return Caller("user" if token.user else "installation", token)


def identify_git(world: World, authorization: str) -> Caller:
    """Who a git client speaks for: HTTP Basic, user name `x-access-token`, the token as password."""
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "basic":
        return NOBODY
    try:
        name, _, password = base64.b64decode(credential, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return NOBODY
    token = bearer(world, password)
    if token is None or (token.installation is not None and name != "x-access-token"):
        return NOBODY
    return Caller("user" if token.user else "installation", token)
