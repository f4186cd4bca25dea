"""The embedded GitHub's pages are readable, and nothing that people wrote runs on them."""

from html.parser import HTMLParser

import httpx
import pytest

from app.demo.github.server import DemoGitHub
from tests.contract import demo_github
from tests.contract.demo_github import REPO

github = demo_github.github
api = demo_github.api

EVIL = """<script>alert(1)</script> <img src=x onerror=alert(2)> [click](javascript:alert(3)) <!-- marker -->
![pixel](https://evil.example/?q=1) <a href="data:text/html,x">data</a> <style>*{display:none}</style>

| a | b |
|---|---|
| **1** | `<b>` |

<details><summary>More</summary>inside</details>
"""


class Seen(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


async def page(github: DemoGitHub, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=github.url) as browser:
        return await browser.get(path)


async def test_a_pages_every_word_is_harmless(github: DemoGitHub, api: httpx.AsyncClient) -> None:
    issue = await github.issue(REPO, title="<script>title</script>", body=EVIL, author="mona")
    await github.comment(REPO, issue.number, EVIL, by="mona")
    await github.push(REPO, "fix", {"<b>.txt": "<script>x</script>\n"}, message="<i>Fix</i>", by="mona")
    await api.post("/pulls", json={"title": "<u>Fix</u>", "head": "fix", "base": "main", "body": EVIL})

    for path in (
        f"/{REPO}",
        f"/{REPO}/issues/1",
        f"/{REPO}/pull/2",
        f"/{REPO}/commit/{await github.head(REPO, 'fix')}",
    ):
        shown = await page(github, path)
        seen = Seen(shown.text)
        assert shown.status_code == 200
        assert not seen.tags & {"script", "img", "iframe", "b", "i", "u"}
        assert not [name for name, _ in seen.attributes if name.startswith("on") or name == "style"]
        assert not [
            value for name, value in seen.attributes if name == "href" and (value or "").startswith(("java", "data"))
        ]
        assert "evil.example" not in shown.text
        assert "<!-- marker -->" not in shown.text
        assert shown.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")


async def test_an_issue_shows_its_words_and_comments(github: DemoGitHub) -> None:
    issue = await github.issue(REPO, title="A typo", body="It says **helo**.", author="mona")
    comment, _ = await github.comment(REPO, issue.number, "First", by="hubot")
    await github.edit_comment(REPO, comment, EVIL, by="hubot")

    shown = (await page(github, f"/{REPO}/issues/{issue.number}")).text

    assert "It says <strong>helo</strong>." in shown
    assert "<details><summary>More</summary>inside</details>" in shown
    assert "<td><strong>1</strong></td>" in shown
    assert "edited 1 times" in shown


async def test_a_pull_request_shows_its_diff_and_whether_it_is_merged(
    github: DemoGitHub, api: httpx.AsyncClient
) -> None:
    await github.push(REPO, "fix", {"greet.py": "print('hello')\n"}, message="Mend the greeting", by="mona")
    pull = (await api.post("/pulls", json={"title": "Fix", "head": "fix", "base": "main"})).json()

    async def shown() -> str:
        return (await page(github, pull["html_url"])).text

    for state in ("open", "merged"):
        text = await shown()
        assert '<span class="removed">-print(&#39;helo&#39;)</span><span class="added">+print(&#39;hello&#39;)' in text
        assert "Mend the greeting" in text
        assert f'class="state {state}"' in text
        sha = await github.head(REPO, "fix")
        await api.patch("/git/refs/heads/main", json={"sha": sha})


@pytest.mark.parametrize("path", ["/nobody/nothing", f"/{REPO}/issues/99", f"/{REPO}/pull/1", f"/{REPO}/commit/main"])
async def test_what_is_not_there_has_no_page(github: DemoGitHub, path: str) -> None:
    await github.issue(REPO, title="A typo", author="mona")

    assert (await page(github, path)).status_code == 404


async def test_a_private_repository_has_no_page(github: DemoGitHub) -> None:
    await github.repo("acme/secret", private=True, files={"x": "x"})

    assert (await page(github, "/acme/secret")).status_code == 404
