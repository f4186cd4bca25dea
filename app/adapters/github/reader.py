"""All repositories of one installation, for reading, over one connection."""

from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from app.adapters.github.client.api import Api
from app.adapters.github.client.meter import Meter
from app.adapters.github.client.responses import Repositories
from app.core.ports.github import GitHub, Listing


def read_cursor(cursor: str) -> dict[str, str | int]:
    """The parameters that ask for a page; links are opaque, so all of a link's are kept."""
    return dict(parse_qsl(cursor))


class GithubkitReader:
    """Implements the port `Reader`."""

    def __init__(self, api: Api, meter: Meter, repository: Callable[[str], GitHub]) -> None:
        self._api = api
        self._meter = meter
        self.repository = repository

    @property
    def sent(self) -> int:
        return self._meter.sent

    async def repositories(self, cursor: str = "", *, etag: str = "") -> Listing[str] | None:
        found = await self._api.changed_page("/installation/repositories", Repositories, read_cursor(cursor), etag=etag)
        if found is None:
            return None
        page, following, etag = found
        names = [repo.full_name for repo in page.repositories if not (repo.archived or repo.disabled)]
        return Listing(tuple(names), urlencode(following), etag)
