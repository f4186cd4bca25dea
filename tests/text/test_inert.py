"""Whatever a run's words say, its comment, pull request and commits do no more than those of a run with harmless words."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.core.run.job import DiffPosition, Feedback, Person, Source
from app.core.run.plan import Plan, Step
from app.core.run.pull_requests import Diagnosis
from app.core.run.run import Commit, Conclusion, Run, Stage, StageRecord, Status
from app.core.run.verification import SuiteRun, Verdict, Verification
from app.text.comment import describe_status, render_comment, render_stopped
from app.text.commit import compose_message, reword, subject_of, title_of
from app.text.pull_request import render_pull_request, render_reply
from tests.text.github import alive
from tests.text.hostile import HOSTILE, ORDINARY
from tests.text.runs import AT, DONE, FAILED, JOB, WORKING

URL = "https://bot.example/jobs/1"


def _saying(run: Run, words: str) -> Run:
    """The run, with these words wherever it has words that are not ours."""
    heard = Feedback("an id", Source.REMARK, Person(words, 9), words, 5, DiffPosition(words, 3, words), 0, words)
    return replace(
        run,
        job=replace(run.job, sender=Person(words, 7), title=words),
        message=words,
        summary=words,
        before=words,
        branch=words,
        model=words,
        notices=(words, words),
        plan=Plan(words, words, (Step(words, (words, words), words), Step(words))),
        commits=(Commit("abcdef1234", words, (words, words), 0, True),),
        heard=(heard, replace(heard, step=None)),
        diagnosis=Diagnosis(findings=(words,)),
        stages=(StageRecord(Stage.SANDBOX, Status.COMPLETED, AT, AT, words),),
        failure=replace(run.failure, message=words, excerpt=words) if run.failure else None,
        verification=Verification(Verdict.FAILING, (SuiteRun(words, words, 1, 1.0, words),), "f" * 40),
    )


STOPPED = replace(WORKING, status=Status.COMPLETED, conclusion=Conclusion.CANCELLED)
WAITS = replace(WORKING, conclusion=Conclusion.ACTION_REQUIRED, needs="approval", approval="a1b2c3d4e5f6")
NEUTRAL = replace(WORKING, conclusion=Conclusion.NEUTRAL)

TEXTS: dict[str, Callable[[str], str]] = {
    "working": lambda words: render_comment(_saying(WORKING, words), URL),
    "done": lambda words: render_comment(_saying(DONE, words), URL),
    "failed": lambda words: render_comment(_saying(FAILED, words), URL),
    "stopped": lambda words: render_comment(_saying(STOPPED, words), URL),
    "waits": lambda words: render_comment(_saying(WAITS, words), URL),
    "nothing to do": lambda words: render_comment(_saying(NEUTRAL, words), URL),
    "stop": lambda words: render_stopped([_saying(STOPPED, words)]),
    "standing": lambda words: describe_status(_saying(WORKING, words)),
    "pull request": lambda words: render_pull_request(_saying(DONE, words), URL)[1],
    "reply": lambda words: render_reply(_saying(DONE, words), _saying(DONE, words).heard[0]),
    "reply, no commit": lambda words: render_reply(_saying(DONE, words), _saying(DONE, words).heard[1]),
    "reply, not done": lambda words: render_reply(
        _saying(FAILED, words), replace(_saying(DONE, words).heard[0], step=1)
    ),
}


def _does(text: str) -> list[str]:
    """What it does, without how its folds name the command that was run. A link to the run's own issue is harmless."""
    found = [each for each in alive(text) if each != f"text #{JOB.number}"]
    return [re.sub(r"(?s)(<summary><code>).*(</code>)", r"\1\2", each) for each in found]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_do_nothing(name: str, words: str) -> None:
    assert _does(TEXTS[name](words)) == _does(TEXTS[name]("harmless")), TEXTS[name](words)


_MEANT = re.compile(
    r"heading_open \#\#\#|blockquote_open >|task|source Closes \#12|text \#1[23]|text abcdef1"
    r"|html (?:<details>|</details>|</?sub>|<!-- vibecoder).*|link_open {'href': 'https://bot\.example/.*"
)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_does_what_we_mean_it_to(name: str) -> None:
    assert [each for each in _does(TEXTS[name]("harmless")) if not _MEANT.fullmatch(each)] == []


def _trailers(message: str) -> list[str]:
    """What git itself takes for trailers."""
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


_COMMIT_READ = re.compile(
    r"(?:https?|ftp)://|\bwww\.\w|#\d|\bGH-\d|(?im:^\s*(?:/[a-z-]+(?=\s|$)|bors\s))|(?i:release-as|skip-checks|no_ci|BREAKING CHANGE)"
    r"|(?i:\[[^\[\]]*\bskip\b[^\[\]]*\])|\[no ci\]|[\u200b-\u200f\u202a-\u202e\u2060]|(?i:^[\w-]+-by\s*:)"
)
_MENTION = re.compile(r"(?<![A-Za-z0-9_])@[A-Za-z0-9]")


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_do_nothing_in_a_commit(words: str) -> None:
    message = compose_message(JOB, words, f"Mended.\n\n{words}")
    assert _trailers(message) == _trailers(compose_message(JOB, "Mend it", "So."))
    text = message.rpartition("\n\n")[0]
    assert _COMMIT_READ.findall(re.sub("`[^`\\n]+`", "``", text)) == [], text
    for line in text.splitlines():
        assert not _MENTION.search(re.sub(r"(?<!`)`(?!`)[^`]+`(?!`)", "", line)), line
    assert _trailers(compose_message(replace(JOB, source=Source.LOCAL, number=None), "Mend it", words)) == []


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_do_nothing_in_a_title(words: str) -> None:
    for title in (title_of(words), subject_of(words), subject_of("x" * 60 + words)):
        assert "\n" not in title
        assert _COMMIT_READ.findall(re.sub("`[^`]+`", "``", title)) == []
        assert not _MENTION.search(re.sub(r"(?<!`)`(?!`)[^`]+`(?!`)", "", title)), title


@pytest.mark.parametrize("words", [*ORDINARY, "def x(a: List[int]) -> None", "feat(core)!: drop Python 3.9"])
def test_ordinary_words_of_a_commit_stay(words: str) -> None:
    assert reword(words) == words


def test_a_commit_is_reworded_so_that_it_reads_well() -> None:
    assert reword("Fixes #41, closes acme/other#7; see GH-9 and PR #3 (#4)") == (
        "Fixes issue 41, closes issue 7 of acme/other; see issue 9 and PR 3 (issue 4)"
    )
    assert reword("Use @pytest.fixture, thank @ada") == "Use `@pytest.fixture`, thank `@ada`"
    assert reword("[skip ci] as https://docs.example/x says") == "(skip ci) as docs.example/x says"
    assert reword("Signed-off-by: Ada") == "Signed off by: Ada"
    assert reword("resolves https://github.com/acme/x/issues/8") == "resolves issue 8 of acme/x"


def test_a_shortened_subject_ends_no_code_in_the_middle() -> None:
    assert subject_of("x" * 60 + " `@everyone-there`") == "x" * 60 + "…"
