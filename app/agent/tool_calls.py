"""What the model can ask for: a closed union of calls, their schemas, and the reading of what it wrote.

Each class is one tool: its docstring and fields are what the model is told. Schemas are closed and name every key as
required (what may be left out is nullable), as OpenAI's strict mode wants it
(https://platform.openai.com/docs/guides/structured-outputs); when reading, a nullable key may be missing.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, ClassVar, Final, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.core.conversation import ToolCall, ToolSpec
from app.core.run.plan import MAX_STEPS, MAX_SUMMARY_CHARS, MAX_TITLE_CHARS, Answered

MAX_SHELL_TIMEOUT_S: Final = 600
_HEADLINE_CHARS: Final = 200


class InvalidToolCall(ValueError):
    """A call that cannot be read. The text is for the model and says what would be right."""


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def _title(text: str) -> str:
    title = " ".join(text.split())
    if not 0 < len(title) <= MAX_TITLE_CHARS:
        raise ValueError(f"must have 1 to {MAX_TITLE_CHARS} characters, has {len(title)}")
    return title


def _summary(text: str) -> str:
    summary = text.strip()
    if not 0 < len(summary) <= MAX_SUMMARY_CHARS:
        raise ValueError(f"must have 1 to {MAX_SUMMARY_CHARS} characters, has {len(summary)}")
    return summary


Words: TypeAlias = Annotated[str, AfterValidator(_without_nul)]
Title: TypeAlias = Annotated[str, AfterValidator(_title)]
Summary: TypeAlias = Annotated[str, AfterValidator(_summary)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ToolCallModel(_Closed):
    tool: ClassVar[str]

    @property
    def headline(self) -> str:
        """The call in one line, for the timeline."""
        return f"{self.tool} {getattr(self, 'path', '')}".strip()[:_HEADLINE_CHARS]


class Shell(_ToolCallModel):
    """Run a shell command in the repository's root. There is no terminal and no input; each call is a new shell.
    The exit code and the output (its middle left out when it is long) come back."""

    tool = "shell"
    command: Words = Field(description="The command, as for bash.")
    timeout_s: int | None = Field(default=None, description=f"Seconds; null is 120, at most {MAX_SHELL_TIMEOUT_S}.")

    @property
    def headline(self) -> str:
        return f"$ {self.command.strip()}"[:_HEADLINE_CHARS]


class Read(_ToolCallModel):
    """Read a file, with line numbers, or list a folder."""

    tool = "read"
    path: Words = Field(description="Relative to the repository's root; `.` lists the root.")
    start: int | None = Field(default=None, description="First line, from 1; null is 1.")
    end: int | None = Field(default=None, description="Last line, included; null reads on to the end.")

    @property
    def headline(self) -> str:
        lines = f":{self.start or 1}-{self.end or ''}" if self.start or self.end else ""
        return f"read {self.path}{lines}"[:_HEADLINE_CHARS]


class Search(_ToolCallModel):
    """Find lines by a regular expression in the repository's files; ignored and binary files are left out."""

    tool = "search"
    pattern: Words = Field(description="A Perl-like regular expression; `(?i)` in front ignores case.")
    path: Words | None = Field(default=None, description="File or folder to search; null is the whole repository.")
    glob: Words | None = Field(default=None, description="Only files whose name matches, such as `*.py`; null is all.")

    @property
    def headline(self) -> str:
        where = "/".join(part for part in (self.path, self.glob) if part)
        return f"search {self.pattern!r}{f' in {where}' if where else ''}"[:_HEADLINE_CHARS]


class Edit(_ToolCallModel):
    """Replace a passage of a file. The answer tells of new syntax faults."""

    tool = "edit"
    path: Words = Field(description="Relative to the repository's root.")
    old: str = Field(
        description="The passage as it stands in the file, white space and all, without line numbers; so much of it "
        "that it is there exactly once."
    )
    new: str = Field(description="What stands there afterwards.")
    replace_all: bool | None = Field(default=None, description="true replaces every occurrence.")


class Write(_ToolCallModel):
    """Make a file, or replace all that is in it. To change a part of a file, use `edit`."""

    tool = "write"
    path: Words = Field(description="Relative to the repository's root; folders are made.")
    content: str = Field(description="All of the file.")


class PlannedStep(_Closed):
    title: Title = Field(description=f"Imperative, at most {MAX_TITLE_CHARS} characters: the commit's subject.")
    files: list[Words] = Field(description="Paths it expects to touch.")
    check: str = Field(description="A command or a sentence: how to see that the step is right.")


def _few(steps: list[PlannedStep]) -> list[PlannedStep]:
    if len(steps) > MAX_STEPS:
        raise ValueError(f"are {len(steps)}; at most {MAX_STEPS} are possible: put together what belongs together")
    return steps


class RemarkAnswer(_Closed):
    remark: int = Field(description="The remark's number.")
    step: int | None = Field(description="The step that settles it, from 1; null when none does.")
    words: Summary = Field(description="To who made it: what is done, or why nothing is.")


Answers: TypeAlias = Annotated[
    list[RemarkAnswer] | None, Field(default=None, description="One for each `<remark>`; null when there is none.")
]


def answered(answers: Sequence[RemarkAnswer] | None) -> tuple[Answered, ...]:
    """The answers with their steps counted from 0."""
    return tuple(Answered(each.remark, each.step - 1 if each.step else None, each.words) for each in answers or ())


class Propose(_ToolCallModel):
    """Hand in the plan. Call it once, when you have read enough."""

    tool = "plan"
    title: Title = Field(description=f"The pull request's title, at most {MAX_TITLE_CHARS} characters.")
    summary: Summary = Field(description="The pull request's opening; or why there is nothing to do.")
    steps: Annotated[list[PlannedStep], AfterValidator(_few)] = Field(
        description=f"At most {MAX_STEPS}, in order; none when there is nothing to do."
    )
    answers: Answers


class Finish(_ToolCallModel):
    """Say that the work is done. Call it alone, after you have seen the results of everything before."""

    tool = "finish"
    summary: Summary = Field(description="What you changed and why, for the reviewer.")
    answers: Answers


WorkCall: TypeAlias = Shell | Read | Search | Edit | Write
"""Calls that are carried out in the sandbox."""
Ending: TypeAlias = Propose | Finish
"""Calls that end a conversation."""
Call: TypeAlias = WorkCall | Ending
E = TypeVar("E", Propose, Finish)


def specs(calls: Sequence[type[Call]]) -> tuple[ToolSpec, ...]:
    """The tools as the model sees them."""
    return tuple(ToolSpec(call.tool, " ".join((call.__doc__ or "").split()), _schema(call)) for call in calls)


def read(written: ToolCall, work: Sequence[type[WorkCall]], ending: type[E]) -> WorkCall | E:
    """The call that the model wrote.

    Raises:
        Misread: no such tool here, no JSON, or not the keys and values it takes.
    """
    known: dict[str, type[WorkCall] | type[E]] = {call.tool: call for call in (*work, ending)}
    call = known.get(written.name)
    if call is None:
        raise InvalidToolCall(f"There is no tool `{written.name}` here. There are: {', '.join(known)}.")
    try:
        return call.model_validate_json(written.arguments or "{}")
    except ValidationError as error:
        raise InvalidToolCall(f"{_faults(error)} `{call.tool}` takes {_keys(call)}.") from error


def _faults(error: ValidationError) -> str:
    sentences = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False)[:5]:
        key = ".".join(str(part) for part in fault["loc"])
        match fault["type"]:
            case "json_invalid":
                sentences.append(f"The arguments are no valid JSON: {fault['msg'].removeprefix('Invalid JSON: ')}.")
            case "missing":
                sentences.append(f"`{key}` is missing.")
            case "extra_forbidden":
                sentences.append(f"`{key}` is not known.")
            case _:
                where = f"`{key}`" if key else "The arguments"
                sentences.append(f"{where}: {fault['msg'].removeprefix('Value error, ')}.")
    return " ".join(sentences)


def _keys(call: type[Call]) -> str:
    fields = call.model_fields.items()
    return ", ".join(f"`{name}`" if field.is_required() else f"`{name}` (or null)" for name, field in fields)


@cache
def _schema(call: type[Call]) -> Mapping[str, object]:
    schema = call.model_json_schema()
    return {
        "type": "object",
        "properties": _close(schema["properties"], schema.get("$defs", {})),
        "required": list(schema["properties"]),
        "additionalProperties": False,
    }


def _close(node: object, definitions: Mapping[str, object]) -> object:
    """Put definitions where they are used; drop titles and defaults; require every key."""
    if isinstance(node, list):
        return [_close(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _close(definitions[node["$ref"].rpartition("/")[2]], definitions)
    closed = {
        key: _close(value, definitions)
        for key, value in node.items()
        if key not in ("title", "default") or isinstance(value, dict)
    }
    if closed.get("type") == "object":
        closed["required"] = list(node["properties"])
    return closed
