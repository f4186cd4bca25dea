"""Which certificate authorities this process trusts."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@cache
def tls_context() -> "ssl.SSLContext":
    """The context that every HTTP client here shares: to read the authorities takes 30 ms, each time."""
    import httpx  # noqa: PLC0415 -- the web process has it only once it asks something

    return httpx.create_ssl_context()
