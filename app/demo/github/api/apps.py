"""REST: the App, its installations and tokens, its deliveries, people, repositories and their collaborators."""

import json
from typing import Any, Final

from starlette.responses import Response

from app.demo.github.auth import check_not_suspended
from app.demo.github.call import Call, Row
from app.demo.github.responses import Refusal, not_found, page, reply
from app.demo.github.shapes import Json, stamp
from app.demo.github.state.records import Delivery, Installation, Repo

_LEVELS: Final = ("read", "write", "admin")


async def get_app(call: Call) -> Response:
    count = len(call.world.installations)
    return reply({**call.shapes.app(), "installations_count": count})


async def list_installations(call: Call) -> Response:
    shown, links = page(call.request, list(call.world.installations.values()))
    return reply([call.shapes.installation(installation) for installation in shown], headers=links)


def _installation(call: Call) -> Installation:
    installation = call.world.installations.get(call.number("id"))
    if installation is None:
        raise not_found()
    return installation


async def get_installation(call: Call) -> Response:
    return reply(call.shapes.installation(_installation(call)))


async def get_repo_installation(call: Call) -> Response:
    repo = call.world.repos.get(f"{call.part('owner')}/{call.part('name')}".lower())
    if repo is None and (moved := call.world.moved.get(f"{call.part('owner')}/{call.part('name')}".lower())):
        raise call.redirect(moved)
    if repo is None or repo.installation_id not in call.world.installations:
        raise not_found()
    return reply(call.shapes.installation(call.world.installations[repo.installation_id]))


async def create_token(call: Call) -> Response:
    """Mint a token; `repositories` and `permissions` can only narrow what the installation has."""
    installation = _installation(call)
    check_not_suspended(installation)
    permissions = _narrowed(installation, call.given("permissions", dict))
    names = call.given("repositories", list)
    ids = call.given("repository_ids", list)
    repos = _chosen(call, installation, names, ids)
    token = call.world.mint(installation, repos, permissions)
    answer: Json = {
        "token": token.value,
        "expires_at": stamp(token.expires_at) if token.expires_at else None,
        "permissions": dict(token.permissions),
        "repository_selection": "selected",
    }
    if repos is not None:
        answer["repositories"] = [call.shapes.repo(repo) for repo in repos]
    return reply(answer, 201)


def _narrowed(installation: Installation, asked: dict[str, Any] | None) -> dict[str, str]:
    if asked is None:
        return dict(installation.permissions)
    for name, level in asked.items():
        held = installation.permissions.get(name)
        if level not in _LEVELS or held is None or _LEVELS.index(level) > _LEVELS.index(held):
            raise Refusal(422, "The permissions requested are not granted to this installation.")
    return asked


def _chosen(
    call: Call, installation: Installation, names: list[Any] | None, ids: list[Any] | None
) -> list[Repo] | None:
    if names is None and ids is None:
        return None
    held = call.world.repos_of(installation)
    known = {repo.name.lower(): repo for repo in held}
    by_id = {repo.id: repo for repo in held}
    chosen = [known.get(str(name).lower()) for name in names or ()] + [by_id.get(key) for key in ids or ()]
    repos = [repo for repo in chosen if repo is not None]
    if len(repos) != len(chosen) or not repos:
        raise Refusal(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        )
    return repos


async def list_installation_repos(call: Call) -> Response:
    repos = [repo for repo in call.world.repos.values() if call.caller.sees(repo)]
    shown, links = page(call.request, repos)
    listed = [call.shapes.repo(repo) for repo in shown]
    answer = {"total_count": len(repos), "repository_selection": "selected", "repositories": listed}
    return reply(answer, headers=links)


async def revoke_token(call: Call) -> Response:
    if call.caller.token is not None:
        call.world.tokens.pop(call.caller.token.value, None)
    return Response(status_code=204)


# ------------------------------------------------------------------------------------------------------- deliveries


def _delivery(call: Call, delivery: Delivery, *, full: bool = False) -> Json:
    brief: Json = {
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": stamp(delivery.delivered_at),
        "redelivery": delivery.redelivery,
        "duration": delivery.duration_s,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation_id,
        "repository_id": delivery.repository_id,
        "throttled_at": None,
    }
    if not full:
        return brief
    request = {"headers": delivery.request_headers, "payload": json.loads(delivery.payload)}
    answer = {"headers": delivery.response_headers, "payload": delivery.response}
    return {**brief, "url": call.hub.courier.url, "request": request, "response": answer}


async def get_hook_config(call: Call) -> Response:
    config = {"content_type": call.hub.courier.content_type, "insecure_ssl": "0", "url": call.hub.courier.url}
    return reply({**config, "secret": "********"})


async def list_deliveries(call: Call) -> Response:
    """What has ended, the newest first, paged by a cursor, as GitHub does here and nowhere else."""
    size = min(int(call.query("per_page", "30") or 30), 100)
    ended = [delivery for delivery in call.world.deliveries if delivery.status_code]
    newest = sorted(ended, key=lambda delivery: delivery.id, reverse=True)
    cursor = call.query("cursor").partition("_")[2]
    rest = [delivery for delivery in newest if not cursor or delivery.id < int(cursor)]
    if call.query("status") in {"success", "failure"}:
        wanted = call.query("status") == "success"
        rest = [delivery for delivery in rest if (delivery.status_code < 400) == wanted]
    shown, headers = rest[:size], {}
    if len(rest) > size:
        url = call.request.url.include_query_params(per_page=size, cursor=f"v1_{shown[-1].id}")
        headers["link"] = f'<{url}>; rel="next"'
    return reply([_delivery(call, delivery) for delivery in shown], headers=headers)


def _logged(call: Call) -> Delivery:
    wanted = call.number("id")
    for delivery in call.world.deliveries:
        if delivery.id == wanted:
            return delivery
    raise not_found()


async def get_delivery(call: Call) -> Response:
    return reply(_delivery(call, _logged(call), full=True))


async def redeliver(call: Call) -> Response:
    call.hub.courier.again_soon(_logged(call))
    return reply({}, 202)


# --------------------------------------------------------------------------------------------- people, repositories


async def get_current_user(call: Call) -> Response:
    return reply(call.shapes.full_user(call.user))


async def get_user(call: Call) -> Response:
    user = call.world.users.get(call.part("login").lower())
    if user is None:
        raise not_found()
    return reply(call.shapes.full_user(user))


async def get_repo(call: Call) -> Response:
    repo, token = call.repo, call.caller.token
    if token is not None and token.user is not None:
        permissions = call.shapes.role_permissions(repo.role(token.user))
    else:
        pushes = call.caller.may(repo, "contents", "write")
        permissions = {"admin": False, "maintain": False, "push": pushes, "triage": False, "pull": True}
    return reply(call.shapes.full_repo(repo, permissions))


async def get_permission(call: Call) -> Response:
    user = call.world.users.get(call.part("login").lower())
    if user is None:
        raise Refusal(404, f"{call.part('login')} is not a user")
    return reply(call.shapes.collaborator(call.repo, user))


async def rate_limit(call: Call) -> Response:
    core = {"limit": 5_000, "remaining": 4_999, "reset": 0, "used": 1, "resource": "core"}
    return reply({"resources": {"core": core, "graphql": core, "search": core}, "rate": core})


ROWS: Final[tuple[Row, ...]] = (
    ("GET", "/app", get_app, "app"),
    ("GET", "/app/installations", list_installations, "app"),
    ("GET", "/app/installations/{id}", get_installation, "app"),
    ("POST", "/app/installations/{id}/access_tokens", create_token, "app"),
    ("GET", "/app/hook/config", get_hook_config, "app"),
    ("GET", "/app/hook/deliveries", list_deliveries, "app"),
    ("GET", "/app/hook/deliveries/{id}", get_delivery, "app"),
    ("POST", "/app/hook/deliveries/{id}/attempts", redeliver, "app"),
    ("GET", "/installation/repositories", list_installation_repos, "installation"),
    ("DELETE", "/installation/token", revoke_token, "installation"),
    ("GET", "/rate_limit", rate_limit, "any"),
    ("GET", "/user", get_current_user, "user"),
    ("GET", "/users/{login}", get_user, "any"),
    ("GET", "/repos/{owner}/{name}/installation", get_repo_installation, "app"),
    ("GET", "/repos/{owner}/{name}", get_repo, "metadata:read"),
    ("GET", "/repos/{owner}/{name}/collaborators/{login}/permission", get_permission, "metadata:read"),
)
