"""How a comment is read."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.inbound.commands import COMMANDS, OPTIONS, parse
from app.core.run.job import UNSAID, Command, Verb

NEXT_LINE: Final = " If you meant it as an instruction, put it on the line after `/vibecode`."


def start(instruction: str = "", *, base: str | None = None, model: str | None = None, draft: bool = False) -> Command:
    return Command(Verb.START, instruction, base=base, model=model, draft=draft)


def problem(comment: str) -> str:
    command = parse(comment)
    assert command is not None
    assert command == Command(Verb.UNREADABLE, problem=command.problem)
    return command.problem


@pytest.mark.parametrize(
    ("comment", "command"),
    [
        ("/vibecode", start()),
        ("/VibeCode  ", start()),
        ("/vibecode fix the typo", start("fix the typo")),
        ("/vibecode: fix the typo", start("fix the typo")),
        ("/vibecode, please fix the typo", start("fix the typo")),
        ("/vibecode start", start()),
        ("/vibecode start now!", start()),
        ("/vibecode start with the tests", start("start with the tests")),
        ("/vibecode stop", Command(Verb.STOP)),
        ("/vibecode STOP!!", Command(Verb.STOP)),
        ("/vibecode please stop the run, thanks.", Command(Verb.STOP)),
        ("/vibecode approve", Command(Verb.APPROVE)),
        ("/vibecode approve the plan", Command(Verb.APPROVE)),
        ("/vibecode retry", Command(Verb.RETRY)),
        ("/vibecode status?", Command(Verb.STATUS)),
        ("/vibecode help", Command(Verb.HELP)),
        ("/vibecode plan", Command(Verb.PLAN)),
        ("/vibecode:plan", Command(Verb.PLAN)),
        ("/vibecode plan: a dark mode", Command(Verb.PLAN, "a dark mode")),
        ("/vibecode budget +2", Command(Verb.BUDGET, add_usd=2.0)),
        ("/vibecode budget +2.50", Command(Verb.BUDGET, add_usd=2.5)),
        ("/vibecode budget +2,50", Command(Verb.BUDGET, add_usd=2.5)),
        ("/vibecode budget +$2", Command(Verb.BUDGET, add_usd=2.0)),
        ("/vibecode budget + 2.", Command(Verb.BUDGET, add_usd=2.0)),
        ("/vibecode cancel the order when it is late", start("cancel the order when it is late")),
        ("/vibecode plain text mails need a charset", start("plain text mails need a charset")),
        ("/vibecode fix", start("fix")),
        ("/vibecode Stop.", Command(Verb.STOP)),
        ("/vibecode stop \N{PERSON WITH FOLDED HANDS}", Command(Verb.STOP)),
        ("/vibecode stop\u200b\r\n", Command(Verb.STOP)),
        ("/vibecode budget +2 please", Command(Verb.BUDGET, add_usd=2.0)),
        ("/vibecode budget +2 dollars", Command(Verb.BUDGET, add_usd=2.0)),
        ("/vibecode budget +2$", Command(Verb.BUDGET, add_usd=2.0)),
        ("/vibecode \N{ROCKET}", start()),
        ("/vibecode ...", start()),
        ("/vibecode \N{ROCKET} fix it", start("\N{ROCKET} fix it")),
    ],
)
def test_each_command_is_read(comment: str, command: Command) -> None:
    assert parse(comment) == command


@pytest.mark.parametrize(
    ("comment", "command"),
    [
        ("/vibecode --base dev", start(base="dev")),
        ("/vibecode --base=release/1.x --draft go on", start("go on", base="release/1.x", draft=True)),
        ("/vibecode --DRAFT --Model gpt-5 x", start("x", model="gpt-5", draft=True)),
        ("/vibecode --base = dev x", start("x", base="dev")),
        ("/vibecode --base 'dev' --model=\"a/b:c\" x", start("x", base="dev", model="a/b:c")),
        ("/vibecode \u2014base dev x", start("x", base="dev")),
        ("/vibecode -draft x", start("x", draft=True)),
        ("/vibecode --draft plan --base dev x", Command(Verb.PLAN, "x", base="dev", draft=True)),
        ("/vibecode add a --draft option", start("add a --draft option")),
        ("/vibecode -- --verbose should be quiet", start("--verbose should be quiet")),
        ("/vibecode \u2013 fix it", start("fix it")),
        ("/vibecode\n--verbose should be quiet", start("--verbose should be quiet")),
    ],
)
def test_options_stand_before_the_instruction(comment: str, command: Command) -> None:
    assert parse(comment) == command


def test_the_rest_of_the_comment_belongs_to_the_instruction() -> None:
    comment = (
        "Thanks!\r\n\r\n  /vibecode plan a dark mode\r\n\r\n- like `this`\r\n\r\n```css\r\n/vibecode stop\r\n```\r\n"
    )
    assert parse(comment) == Command(Verb.PLAN, "a dark mode\n\n- like `this`\n\n```css\n/vibecode stop\n```")


def test_the_lines_after_a_verb_are_remarks() -> None:
    assert parse("/vibecode stop\nI shall do it by hand.") == Command(Verb.STOP)


def test_an_instruction_that_opens_with_a_verb_goes_on_the_next_line() -> None:
    assert parse("/vibecode\nstop the animation") == start("stop the animation")
    assert parse("/vibecode start\nstop the animation") == start("stop the animation")


def test_of_two_commands_neither_is_carried_out() -> None:
    for first in ("status", "fix the typo", "plan a dark mode"):
        assert problem(f"/vibecode {first}\n\n/vibecode stop").startswith("This comment has more than one command")
    assert parse("/vibecode stop\n/vibecode stop") == Command(Verb.STOP)
    assert parse("/vibecode stop\n> /vibecode plan\n\n`/vibecode retry`") == Command(Verb.STOP)


def test_a_comment_as_long_as_github_takes_is_read_at_once() -> None:
    long = "word `code` > quote <!-- hidden --> /vibecode stop\n" * 1_200
    assert parse(long) is None
    assert parse(f"{long}\n/vibecode stop") == Command(Verb.STOP)
    assert parse(f"/vibecode\n{long}") == start(long.strip())


@pytest.mark.parametrize(
    "word", ["/vibecoder", "/vibecodefoo", "/vibecode-plan", "/vibecode/x", "/vibe", "vibecode", "@vibecode"]
)
def test_another_word_is_no_command(word: str) -> None:
    assert parse(f"{word} stop") is None


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("stpo", "stop"),
        ("stopp", "stop"),
        ("stp the run", "stop"),
        ("cancel", "stop"),
        ("abort please", "stop"),
        ("aprove", "approve"),
        ("LGTM!", "approve"),
        ("\N{THUMBS UP SIGN}", "approve"),
        ("no!", "stop"),
        ("retyr", "retry"),
        ("continue", "retry"),
        ("statsu", "status"),
        ("state", "status"),
        ("hlep", "help"),
        ("?", "help"),
        ("paln", "plan"),
        ("paln a dark mode", "plan"),
        ("budgte +2", "budget +2"),
        ("stpo\nthis goes wrong", "stop"),
    ],
)
def test_a_slip_never_starts_a_run(slip: str, meant: str) -> None:
    assert f"Did you mean `/vibecode {meant}`?" in problem(f"/vibecode {slip}")


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb not in {Verb.START, *UNSAID}])
@settings(deadline=None)
@given(data=st.data())
def test_no_single_slip_of_the_finger_starts_a_run(verb: Verb, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(verb) - 1))
    slip = data.draw(
        st.sampled_from(
            [
                verb[:at] + verb[at + 1 :],
                verb[:at] + verb[at] + verb[at:],
                verb[:at] + verb[at : at + 2][::-1] + verb[at + 2 :],
            ]
        )
    )
    command = parse(f"/vibecode {slip}")
    assert command is not None
    assert command.verb is not Verb.START


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("/vibecode stop the animation", "`/vibecode stop` must be on a line of its own." + NEXT_LINE),
        ("/vibecode help me", "`/vibecode help` must be on a line of its own." + NEXT_LINE),
        ("/vibecode --base dev stop", "`/vibecode stop` takes no options. See `/vibecode help` for all commands."),
        ("/vibecode --draft --draft", "`--draft` is given twice."),
    ],
)
def test_a_mistake_is_answered_with_what_was_meant_to_be_said(comment: str, said: str) -> None:
    assert problem(comment) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--bass dev", "Unknown option `--bass`. Did you mean `--base`?"),
        ("--branch dev", "Unknown option `--branch`. Did you mean `--base`?"),
        ("--plan", "Unknown option `--plan`. Did you mean `/vibecode plan`?"),
        ("--fast", "Unknown option `--fast`."),
        ("-h", "Unknown option `--h`."),
        ("--base", "`--base` needs a branch's name."),
        ("--base a..b", "`--base` needs a branch's name; `a..b` is not one."),
        ("--base 'dev", "`--base` needs a branch's name."),
        ("--model \u00e9", "`--model` needs a model's name; `?` is not one."),
        ("--draft=no", "`--draft` takes no value."),
    ],
)
def test_a_bad_option_is_answered_with_the_options(line: str, said: str) -> None:
    answer = problem(f"/vibecode {line}")
    assert answer.startswith(said + " The options are `--base BRANCH`, `--model NAME`, `--draft`.")


@pytest.mark.parametrize(
    "amount",
    ["", "2", "+0", "+0.00", "-2", "+two", "+1,000", "+2.505", "+99999", "+1001", "+1 +2", "+1 000", "+\u0662"],
)
def test_an_amount_that_is_none_adds_nothing(amount: str) -> None:
    assert "`/vibecode budget +2`" in problem(f"/vibecode budget {amount}")


def test_a_strangers_word_comes_back_without_its_markup() -> None:
    assert problem("/vibecode --`@everyone`[x](http://e.vil)").startswith("Unknown option `--everyonexhttp//e.vil`.")


def test_every_verb_has_a_row_of_help_that_is_itself_readable() -> None:
    assert [entry.verb for entry in COMMANDS] == [verb for verb in Verb if verb not in UNSAID]
    for entry in COMMANDS:
        usage = entry.usage.replace("[options] ", "").replace("[instruction]", "do it")
        command = parse(usage)
        assert command is not None
        assert command.verb is entry.verb
    for option in OPTIONS:
        assert parse(f"/vibecode {option}") not in {None, start()}
        assert parse(f"/vibecode {option}") == start(
            base="BRANCH" if "base" in option else None,
            model="NAME" if "model" in option else None,
            draft="draft" in option,
        )


SCRAPS: Final = st.sampled_from(["--", "base", "=", "'", '"', "budget ", "+", "plan ", " ", "\n"])


@settings(deadline=None)
@given(st.text() | st.lists(SCRAPS).map("".join))
def test_no_text_raises(comment: str) -> None:
    parse(comment)
    parse("/vibecode " + comment)
    parse("/vibecode --" + comment)
