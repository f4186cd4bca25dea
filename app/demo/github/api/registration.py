"""GitHub's manifest flow: the form that makes this world's App, and the code that gives its keys away once.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.demo.github.call import Hub
from app.demo.github.pages import show
from app.demo.github.responses import not_found, reply

_ORG: Final = "/organizations/{org}"
_NEEDED: Final = ("name", "url", "redirect_url")


@dataclass(frozen=True, slots=True)
class Flow:
    """`codes` holds each manifest that was agreed to, with its organization, until its keys are fetched."""

    hub: Hub
    codes: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict)

    def pages(self) -> list[Route]:
        return [
            Route(f"{owner}/settings/apps{tail}", serve, methods=["POST"])
            for owner in ("", _ORG)
            for tail, serve in (("/new", self.begin), ("", self.create))
        ]

    def api(self) -> list[Route]:
        return [Route("/app-manifests/{code}/conversions", self.convert, methods=["POST"])]

    async def begin(self, request: Request) -> Response:
        """Show what is going to be made; a person says yes with the one button."""
        form = await _form(request)
        manifest, fault = self._read(form.get("manifest", ""))
        if fault:
            return show("refused", status=422, title="Invalid GitHub App configuration", words=fault)
        state = request.query_params.get("state", "")
        action = request.url.path.removesuffix("/new")
        # the browser is sent back to whoever brought the manifest
        return show("app", form_action="*", manifest=manifest, text=json.dumps(manifest), state=state, action=action)

    async def create(self, request: Request) -> Response:
        """Make it, and send the browser back with a code."""
        form = await _form(request)
        manifest, fault = self._read(form.get("manifest", ""))
        if fault:
            return show("refused", status=422, title="Invalid GitHub App configuration", words=fault)
        code = secrets.token_hex(20)
        self.codes[code] = manifest, request.path_params.get("org", "")
        back = {"code": code, **({"state": form["state"]} if form.get("state") else {})}
        return RedirectResponse(f"{manifest['redirect_url']}?{urlencode(back)}", 302)

    async def convert(self, request: Request) -> Response:
        """The App's keys, for a code that nobody used; from now on this world's App is as the manifest says."""
        found = self.codes.pop(request.path_params["code"], None)
        if found is None:
            raise not_found()
        manifest, org = found
        world, courier = self.hub.world, self.hub.courier
        world.permissions = dict(manifest.get("default_permissions", {}))
        world.events = list(manifest.get("default_events", []))
        hook = manifest.get("hook_attributes", {})
        courier.url = hook.get("url", "") if hook.get("active", True) else ""
        if org:
            world.app_owner = world.user(org)
            world.app_owner.kind = "Organization"
        made = self.hub.shapes.app()
        keys = {
            "client_secret": secrets.token_hex(20),
            "webhook_secret": courier.secret,
            "pem": self.hub.private_key_pem,
        }
        return reply({**made, **keys}, 201)

    def _read(self, text: str) -> tuple[dict[str, Any], str]:
        """The manifest, and what GitHub finds wrong with it."""
        try:
            manifest = json.loads(text)
        except ValueError:
            return {}, "The configuration does not appear to be a valid GitHub App manifest."
        hook = manifest.get("hook_attributes")
        missing = [name for name in _NEEDED if not manifest.get(name)]
        if missing or (hook is not None and not hook.get("url")):
            return manifest, f'Error: "{(missing or ["url"])[0]}" wasn\'t supplied.'
        host = urlsplit(hook["url"]).hostname if hook else ""
        is_local = host in {"localhost", "127.0.0.1"}
        if is_local and urlsplit(self.hub.world.url).hostname != "127.0.0.1":
            return (
                manifest,
                f"Webhook URL is not supported because it isn't reachable over the public Internet ({host})",
            )
        return manifest, ""


async def _form(request: Request) -> dict[str, str]:
    fields = parse_qs((await request.body()).decode(errors="replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}
