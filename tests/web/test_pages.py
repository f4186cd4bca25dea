import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from inline_snapshot import snapshot

from app.core.run.run import Run
from app.web.app import WebOptions
from tests.web.sample import ID, at_work, ended, failed, queued
from tests.web.site import OPERATOR, SECRET, Site, key

HTML = {"Accept": "text/html,application/xhtml+xml"}
VOID = {"meta", "link", "img", "input", "br"}


class Words(HTMLParser):
    """What a page says, tags left out; `strays` are tags not closed in order, `inline` its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.strays: list[str] = []
        self.inline: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.strays += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append(tag)
        names = {name for name, _ in attrs}
        self.inline += [f"{tag} {name}" for name in names if name.startswith("on") or name == "style"]
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.inline.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.strays.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.said.append(" ".join(data.split()))


async def page_of(run: Run) -> str:
    site = Site()
    await site.has(run)
    answer = await site.ask(f"/jobs/{run.id}{key(run)}", HTML)
    assert answer.status_code == 200
    return answer.text


async def test_a_page_tells_a_run_from_beginning_to_end() -> None:
    said = Words(await page_of(ended())).said
    assert said == snapshot(
        [
            "The greeting has a typo",
            "Skip to content",
            "vibecoder",
            "acme/greeter#12",
            "· requested by ada ·",
            "2026-11-22 15:02 UTC",
            "The greeting has a typo",
            "Done",
            "1 min 23 s",
            "100 %",
            "branch",
            "success",
            "sandbox",
            "success",
            "clone",
            "success",
            "plan",
            "success",
            "steps",
            "success",
            "verify",
            "success",
            "publish",
            "success",
            "pull request",
            "success",
            "cleanup",
            "success",
            "Opened pull request #13.",
            "Pull request #13",
            "vibecode/12-the-greeting-has-a-typo",
            "into",
            "main",
            "The greeting is spelled `helo`. Correct it and hold it with a test. "
            "- Correct the greeting: It says hello now. "
            "- Test that the greeting is spelled right: A test checks it. "
            "- Mention it in the changelog: The changelog mentions it.",
            "Say hello correctly",
            "Correct the greeting",
            "5f0c1d2e",
            "greeter/greet.py",
            "Check: pytest -q tests/test_greet.py",
            "Test that the greeting is spelled right",
            "tests/test_greet.py",
            "Check: pytest -q",
            "Mention it in the changelog",
            "CHANGELOG.md",
            "Check: The changelog names the fix.",
            "How it was checked",
            "Proven",
            "All checks pass, and the new or changed tests fail without the change.",
            "Based on exit codes, not on the model's claims.",
            "passed",
            "on base",
            "pytest -q",
            "1.2 s",
            "Its last lines",
            "1 passed in 0.02s",
            "exit 1",
            "on base with the new tests",
            "pytest -q tests/test_greet.py",
            "1.1 s",
            "Its last lines",
            "1 failed in 0.05s",
            "passed",
            "on head",
            "pytest -q",
            "1.3 s",
            "Its last lines",
            "tests/test_greet.py .. [100%] 2 passed in 0.03s",
            "Changed tests:",
            "tests/test_greet.py",
            "Cost",
            "Spent",
            "$0.07",
            "Turns",
            "9",
            "Tokens read",
            "48,210",
            "(83 % cached)",
            "Tokens written",
            "2,140",
            "Model",
            "gpt-6-mini",
            "Timeline",
            "0:57",
            "A syntax error was sent back to the model.",
            "0:46",
            "shell: pytest -q tests/test_greet.py → exit 0",
            "0:35",
            "read greeter/greet.py",
            "0:24",
            "The greeting is built in greeter/greet.py; nothing tests its words.",
            "0:13",
            "clone: main at 1a2b3c4d",
            "0:02",
            "sandbox: a fresh machine is up",
            "Times are relative to the request.",
            "Status as JSON",
        ]
    )


async def test_a_failed_run_says_where_and_what_to_do() -> None:
    text = " ".join(Words(await page_of(failed())).said)
    assert "The run ended early in stage steps" in text
    assert "The sandbox is gone; comment /vibecode retry." in text
    assert "exit 137" in text
    assert "two files were left out" in text


@pytest.mark.parametrize(
    ("needs", "expected"),
    [("approval", "/vibecode approve"), ("budget", "/vibecode budget +2"), ("reading", "Look at the pull request")],
)
async def test_a_run_that_waits_says_for_what(needs: str, expected: str) -> None:
    assert expected in " ".join(Words(await page_of(replace(at_work(), needs=needs))).said)


@pytest.mark.parametrize("make", [queued, at_work, ended, failed])
async def test_pages_are_whole_and_hold_no_inline_script(make: Callable[[], Run]) -> None:
    site = Site()
    await site.has(make())
    for path in (f"/jobs/{ID}", "/", "/docs"):
        answer = await site.ask(path, HTML | OPERATOR)
        words = Words(answer.text)
        assert (words.strays, words.inline) == ([], [])
        assert len(words.ids) == len(set(words.ids))
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not re.search(r'(src|href)="(https?:)?//(?!github\.com/)', answer.text)


async def test_what_people_and_models_write_is_text() -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    run = replace(at_work(), message=evil, summary=evil, notices=(evil,), model=evil, branch=evil)
    run = replace(run, job=replace(run.job, title=evil)).with_activity(run.job.created_at, run.activities[0].kind, evil)
    words = Words(await page_of(run))
    assert (words.strays, words.inline) == ([], [])
    assert "<script>alert(1)</script>" in " ".join(words.said)


async def test_a_page_listens_after_the_last_line_it_shows_with_its_own_key() -> None:
    run = at_work()
    html = await page_of(run)
    assert f'data-events="/api/jobs/{ID}/events?after=6&amp;{key(run)[1:]}"' in html
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in html
    over = await page_of(ended())
    assert "data-events" not in over
    assert "refresh" not in over


async def test_a_page_that_has_not_changed_is_not_sent_again() -> None:
    site = Site()
    await site.has(ended())
    first = await site.read(f"/jobs/{ID}")
    again = await site.ask(f"/jobs/{ID}", OPERATOR | {"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_list_is_for_the_operator() -> None:
    site = Site()
    await site.has(ended(), queued("acme~site~3~comment~5", repo="acme/site", title="Dark mode"))
    assert (await site.ask("/", HTML)).status_code == 401
    said = " ".join(Words((await site.read("/")).text).said)
    assert said.index("Dark mode") < said.index("The greeting has a typo")
    assert "Dark mode" not in (await site.read("/?repo=acme/greeter")).text
    assert "Dark mode" not in (await site.read("/?status=completed")).text


async def test_the_list_goes_on() -> None:
    site = Site()
    await site.has(*(queued(f"acme~greeter~{number}~comment~1", title=f"Issue {number}!") for number in range(31)))
    first = (await site.read("/")).text
    found = re.search(r'href="(/\?status=&amp;repo=&amp;cursor=[^"]+)"', first)
    assert found
    second = (await site.read(found[1].replace("&amp;", "&"))).text
    assert ("Issue 30!" in first, "Issue 0!" in first, "Issue 0!" in second) == (True, False, True)
    assert "Older runs" not in second


async def test_people_get_a_page_for_an_error_and_programs_a_document() -> None:
    site = Site()
    for headers, kind in ((HTML, "text/html; charset=utf-8"), ({}, "application/problem+json")):
        answer = await site.ask("/nothing", headers)
        assert (answer.status_code, answer.headers["content-type"]) == (404, kind)
    site.store.is_away = True
    away = await site.ask(f"/jobs/{ID}", HTML | OPERATOR)
    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    assert "Redis does not answer." in away.text


@pytest.mark.parametrize(
    ("name", "kind"), [("page.css", "text/css"), ("live.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
)
async def test_style_and_script_are_our_own(name: str, kind: str) -> None:
    answer = await Site().ask(f"/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert (await Site().ask("/static/..%2fapp.py")).status_code == 404


async def test_the_api_is_described_for_programs_and_for_people() -> None:
    site = Site()
    api = (await site.ask("/openapi.json")).json()
    text = (await site.ask("/docs", HTML)).text
    assert api["openapi"] == "3.1.0"
    assert all(f"<code>{path}</code>" in text for path in api["paths"])


async def test_https_stays_https() -> None:
    secure = await Site(WebOptions(public_url="https://bot.example")).ask("/healthz")
    assert secure.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in (await Site().ask("/healthz")).headers


async def test_a_page_without_its_secret_cannot_be_guessed() -> None:
    assert SECRET.get_secret_value() not in await page_of(ended())
