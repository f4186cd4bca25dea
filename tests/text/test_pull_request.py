from dataclasses import replace

import pytest
from inline_snapshot import snapshot

from app.core.plan import Plan
from app.text.pull_request import render_pull_request
from app.text.render import calm, duration, fence, money
from tests.text.runs import AT, DONE, WORKING


def test_the_body_says_what_why_how_verified_and_what_it_cost() -> None:
    assert render_pull_request(DONE, "https://bot.example/jobs/1") == snapshot(
        (
            "Mend the greeting",
            """\
The greeting lacked an l.

### Changes

- abcdef1 Mend it (`greet.py`)

### Verification

**Tests pass**, and the changed tests fail without the change.

| run by the harness on | exit code | seconds |
|---|---|---|
| base | 0 | 1.2 |
| base with the new tests | 1 | 1.3 |
| head | 0 | 1.25 |

<details><summary><code>pytest -q</code></summary>

On base:

```
1 passed
```

On base with the new tests:

```
1 failed
```

On head:

```
2 passed
```

</details>

> Held back, because the paths are protected: `CODEOWNERS`.

Closes #12

<sub>Asked for by ada · $0.03 · 6 turns · some-model · [how it was made](https://bot.example/jobs/1)</sub>
""",
        )
    )


def test_unfinished_work_says_so_and_how_to_go_on() -> None:
    _, body = render_pull_request(WORKING, "")
    assert "**Unfinished.** 1 of 2 steps are done" in body
    assert "**Not tested**" in body


def test_words_of_the_model_mention_nobody_and_close_nothing_else() -> None:
    plan = Plan(
        "Thank @everyone", "Fixes #1, closes https://github.com/a/b/issues/2 ![x](http://evil/?q) <img src=x>", ()
    )
    title, body = render_pull_request(replace(WORKING, plan=plan), "")
    assert "@everyone" not in title
    for harmful in ("#1,", "https://github.com/a", "![x]", "](http", "<img"):
        assert harmful not in body
    assert "Closes #12" in body


def test_a_fence_cannot_be_ended_from_inside() -> None:
    assert fence("a\n````\nb") == "`````\na\n````\nb\n`````"


def test_small_sums_keep_their_digits() -> None:
    assert [money(0), money(0.0042), money(1.5)] == ["$0.00", "$0.0042", "$1.50"]


def test_durations_are_said_in_words() -> None:
    assert duration(AT, None) == ""
    assert duration(AT, AT.replace(minute=3, second=5)) == "3 min 5 s"


@pytest.mark.parametrize(
    ("text", "alive"),
    [
        ("@everyone \\@everyone", "@e"),
        ("&#64;everyone &commat;everyone", "&#"),
        ("see [docs](//evil.example/?d=1)", "]("),
        ("see [docs][1]\n\n[1]: //evil.example/?d=1", "]:"),
        ("<https://evil.example/?d=1> https://evil.example", "://"),
        ("www.evil.example/?d=1", "www."),
        ("resolves GH-7, acme/other#8", "GH-7"),
        ("resolves acme/other#8", "#8"),
        ("## Verification\n\nTests pass", "\n## V"),
        ("> - 1. # Verification", "\n> "),
        ("Verification\n---\nTests pass", "\n---"),
        ("Verification\n  ===  \n", "\n  ="),
    ],
)
def test_nothing_from_outside_comes_alive(text: str, alive: str) -> None:
    assert alive not in "\n" + calm(text)


def test_ordinary_words_stay_as_they_are() -> None:
    text = "It says `a | b`, a list:\n\n- one\n- two -- C#, #tag, x & y; [x] done: **bold** and a::b"
    assert calm(text) == text


def test_calming_twice_changes_nothing_more() -> None:
    once = calm("# @ada &amp; fixes #1 ![a](b) <b> https://a.b\n---\n[c]: www.d.e GH-1")
    assert calm(once) == once
