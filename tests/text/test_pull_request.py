from dataclasses import replace
from datetime import timedelta

from inline_snapshot import snapshot

from app.text.pull_request import render_pull_request
from app.text.render import clock_time, format_duration, format_spent, format_usd
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

| tests run on | exit code | seconds |
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

> Not published because these paths are protected: `CODEOWNERS`.

Closes #12

<sub>Requested by ada · $0.03 · 6 turns · some-model · [run details](https://bot.example/jobs/1)</sub>
""",
        )
    )


def test_unfinished_work_says_so_and_how_to_go_on() -> None:
    _, body = render_pull_request(WORKING, "")
    assert "**Unfinished.** 1 of 2 steps are done" in body
    assert "**Not tested**" in body


def test_small_sums_keep_their_digits() -> None:
    assert [format_usd(0), format_usd(0.0042), format_usd(1.5)] == ["$0.00", "$0.0042", "$1.50"]


def test_durations_are_said_in_words() -> None:
    assert format_duration(AT, None) == ""
    assert format_duration(AT, AT.replace(minute=3, second=5)) == "3 min 5 s"


def test_what_no_price_is_known_for_costs_no_dollars() -> None:
    assert [format_spent(0.0, False), format_spent(0.0, False, 2.0)] == ["price not known"] * 2
    assert format_spent(0.03, False, 2.0) == "at least $0.03 (price not known)"
    assert [format_spent(0.03, True), format_spent(0.03, True, 2.0), format_spent(0.0, True)] == [
        "$0.03",
        "$0.03 of $2.00",
        "$0.00",
    ]


def test_a_pull_request_by_a_model_without_a_price_says_so() -> None:
    _, body = render_pull_request(replace(DONE, cost=replace(DONE.cost, usd=0.0, is_priced=False), budget_usd=2.0), "")
    assert "<sub>Requested by ada · price not known · 6 turns · some-model</sub>" in body


def test_a_moment_to_come_is_never_said_too_early() -> None:
    assert clock_time(AT, AT) == "15:00 UTC"
    assert clock_time(AT, AT + timedelta(seconds=1)) == "15:01 UTC"
    assert clock_time(AT, AT + timedelta(hours=10)) == "23 November 01:00 UTC"
