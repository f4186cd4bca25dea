"""What stands before every route: a rate limit per address, and the headers that keep a page to itself."""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from math import ceil
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.problems import problem

PROBES: Final = frozenset({"/healthz", "/readyz"})
_UNLIMITED: Final = PROBES | {"/webhook"}
_MAX_NAMES: Final = 10_000

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style and nobody else's anything (https://www.w3.org/TR/CSP3/)."""

_HEADERS: Final = {
    "Content-Security-Policy": PAGE_POLICY.format(form_action="'self'"),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Buckets:
    """A token bucket per name: `burst` at once, `rate` a second after that. Bounded: the longest unseen go first."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float) -> float:
        """Take one. Returns 0, or how many seconds to wait before there is one to take."""
        left, seen_at = self._left.pop(name, (float(self._burst), now))
        left = min(self._burst, left + (now - seen_at) * self._rate)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._rate
        self._left[name] = (left if wait_s else left - 1, now)
        if len(self._left) > _MAX_NAMES:
            self._left.popitem(last=False)
        return wait_s


def origin_of(scope: Scope) -> str:
    """Whom a request counts against: its address, or the /64 that an IPv6 host chooses its addresses from."""
    host = scope["client"][0][:64] if scope.get("client") else ""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))


class RateLimit:
    """Answers 429 to an address that asks too much. Deliveries, probes and what pages are made of are not counted.

    Deliveries are told apart by their signature: an address may be a proxy's, which GitHub and a stranger share.
    """

    def __init__(self, app: ASGIApp, buckets: Buckets, monotonic: Callable[[], float]) -> None:
        self._app = app
        self._buckets = buckets
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _UNLIMITED or scope["path"].startswith("/static/"):
            await self._app(scope, receive, send)
            return
        wait_s = self._buckets.take(origin_of(scope), self._monotonic())
        if wait_s == 0:
            await self._app(scope, receive, send)
            return
        headers = {"Retry-After": str(ceil(wait_s))}
        answer = problem(429, "Too many requests", detail=f"Try again in {ceil(wait_s)} s.", headers=headers)
        await answer(scope, receive, send)


class SafeHeaders:
    """Adds the security headers that an answer does not set itself; behind HTTPS, also that it stays HTTPS."""

    def __init__(self, app: ASGIApp, is_https: bool) -> None:
        self._app = app
        self._headers = _HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if is_https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
