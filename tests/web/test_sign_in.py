from urllib.parse import quote

import pytest

from app.web.app import WebOptions
from app.web.auth import COOKIE
from tests.web.sample import ID
from tests.web.site import TOKEN, Site

HTML = {"Accept": "text/html"}


async def test_a_token_in_the_address_is_exchanged_for_a_cookie() -> None:
    site = Site(WebOptions(public_url="https://bot.example"))
    answer = await site.ask(f"/?token={quote(TOKEN)}", HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Secure", "Path=/"} <= set(cookie.split("; "))
    assert (await site.ask("/", HTML | {"Cookie": cookie.partition(";")[0]})).status_code == 200


async def test_signing_in_leads_back() -> None:
    site = Site()
    asked = await site.ask(f"/jobs/{ID}", HTML)
    assert asked.status_code == 401
    assert f'name="back" value="/jobs/{ID}"' in asked.text
    answer = await site.ask("/sign-in", HTML, method="POST", data={"token": TOKEN, "back": f"/jobs/{ID}"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{ID}")
    assert answer.headers["set-cookie"].startswith(f"{COOKIE}=")


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "/\n/evil.example", ""])
async def test_signing_in_leads_nowhere_else(back: str) -> None:
    answer = await Site().ask("/sign-in", HTML, method="POST", data={"token": TOKEN, "back": back})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("token", ["", "wrong", "\ud83d"])
async def test_a_wrong_token_gets_no_cookie(token: str) -> None:
    body = f"token={quote(token.encode('utf-8', 'surrogatepass'))}"
    answer = await Site().ask("/sign-in", HTML, method="POST", content=body.encode())
    assert answer.status_code == 401
    assert "not the operator" in answer.text
    assert "set-cookie" not in answer.headers
