"""What may stand at PUBLIC_URL instead of this program, told apart."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from app.commands.doctor.delivery import delivery_check
from app.commands.doctor.finding import Skip
from app.demo.loopback import serving
from app.settings import load
from app.web.problems import problem


async def troubles(answer: Response, folder: Path) -> list[str]:
    """What is said of whoever answers so."""

    async def webhook(_: object) -> Response:
        return answer

    async with serving(Starlette(routes=[Route("/webhook", webhook, methods=["POST"])])) as url:
        port = url.rpartition(":")[2]
        environ = {"GITHUB_WEBHOOK_SECRET": "s" * 32, "PORT": port, "PUBLIC_URL": url, "DATA_DIR": str(folder)}
        _, found = await delivery_check(load(environ))()
    return [trouble.what.replace(url, "URL") for trouble in found]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (JSONResponse({"pong": True}), []),
        (JSONResponse({"ok": True}), ["URL/webhook answers 200 with application/json, and that is not vibecoder."]),
        (HTMLResponse("Sign in"), ["URL/webhook answers 200 with text/html, and that is not vibecoder."]),
        (RedirectResponse("https://bot.example"), ["URL/webhook redirects to https://bot.example."]),
        (problem(401, "Bad signature"), ["What answers at URL/webhook has another webhook's secret."]),
        (HTMLResponse("Who?", 401), ["URL/webhook answers 401 with text/html, and that is not vibecoder."]),
        (problem(404, "Not Found"), ["What answers at URL/webhook is vibecoder, but without an App."]),
        (PlainTextResponse("404", 404), ["URL/webhook answers 404 with text/plain, and that is not vibecoder."]),
        (HTMLResponse("Bad", 502), ["A proxy answers at URL/webhook, and finds nobody behind it (502)."]),
        (
            Response(b"{", media_type="application/json"),
            ["URL/webhook answers 200 with application/json, and that is not vibecoder."],
        ),
    ],
)
async def test_what_answers_is_told_apart(answer: Response, said: list[str], tmp_path: Path) -> None:
    assert await troubles(answer, tmp_path) == said


async def test_without_a_secret_nothing_is_delivered(tmp_path: Path) -> None:
    with pytest.raises(Skip):
        await delivery_check(load({"DATA_DIR": str(tmp_path)}))()


async def test_an_address_that_is_none_is_told_of(tmp_path: Path) -> None:
    environ = {"GITHUB_WEBHOOK_SECRET": "s" * 32, "PORT": "0", "PUBLIC_URL": "bot.example", "DATA_DIR": str(tmp_path)}
    _, (trouble,) = await delivery_check(load(environ))()
    assert trouble.what.startswith("bot.example/webhook cannot be reached: ")
