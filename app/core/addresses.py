"""Whether one server on the network can reach another, as far as their addresses tell."""

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_CLOUD: Final = "github.com"


def can_reach(github_url: str, url: str) -> bool:
    """Whether GitHub there may deliver to `url`: to loopback only from loopback, from github.com to no private network.

    Names are believed to be public, but for `localhost` and what ends in it; nothing is looked up.
    """
    here, there = urlsplit(github_url).hostname or "", urlsplit(url).hostname or ""
    if is_loopback(url):
        return is_loopback(github_url)
    return bool(there) and not (here == _CLOUD and _is_private(there))


def is_loopback(url: str) -> bool:
    """Whether only this machine finds itself there."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan"))
