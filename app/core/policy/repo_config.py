"""The repository's own file, `.github/vibecode.yml`, read from the base branch; everything in it is optional.

A mistake is posted with its line and key; nothing is ignored. `detect_tests` stands in where `test` is not set.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from app.core.errors import ParseError, UserError
from app.core.parsed import YamlFile
from app.core.policy.globs import compile_glob
from app.core.policy.protected_paths import fold
from app.core.safety.escape import code

DEFAULT_ROLES: Final = ("write", "maintain", "admin")


@dataclass(frozen=True, slots=True)
class CachedConfig:
    """`label` is the file's own, empty where it names none; `bots`, `roles` and `people` say who may."""

    label: str = ""
    bots: tuple[str, ...] = ()
    roles: tuple[str, ...] = DEFAULT_ROLES
    people: tuple[str, ...] = ()


_KNOWN = TypeAdapter(CachedConfig)


def config_note_name(repo: str) -> str:
    """The name of the note, in `Store.note` and `Store.recall`."""
    return f"file {repo}"


def member_note_name(installation_id: int, account_id: int) -> str:
    """The name of the note that a worker leaves once somebody was let in, for those whom GitHub's payloads call
    strangers: members in private, and those whom only the file names."""
    return f"member {installation_id} {account_id}"


def name_of_former(repo: str) -> str:
    """The name of the note on what a renamed repository was called before: its runs are listed under that name."""
    return f"former name {repo}"


def encode_former(name: str, until: datetime) -> str:
    return f"{name} {until.isoformat()}"


def decode_former(note: str) -> tuple[str, datetime] | None:
    """What a repository was called before, and until when."""
    name, _, until = note.partition(" ")
    return (name, datetime.fromisoformat(until)) if until else None


def encode_cached(known: CachedConfig) -> str:
    return _KNOWN.dump_json(known).decode()


def decode_cached(note: str) -> CachedConfig:
    """Read a note; one that is empty, or that another version wrote, says nothing."""
    try:
        return _KNOWN.validate_json(note)
    except ValidationError:
        return CachedConfig()


PATH: Final = ".github/vibecode.yml"
INSTRUCTION_FILES: Final = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md")
MAX_READ_BYTES: Final = 100_000
"""More than the file may have, so that a longer one is refused and not cut."""


_MAX_KEY_CHARS: Final = 100


Command = Annotated[str, Field(min_length=1, max_length=2_000)]


def _check_pattern(pattern: str) -> str:
    try:
        for each in (pattern, fold(pattern)):  # protected paths are matched whatever their case
            compile_glob(each)
    except ValueError as error:
        about = {"pattern": code(pattern), "reason": str(error)}
        raise PydanticCustomError("pattern", "{pattern} matches no path: {reason}", about) from error
    return pattern


Commands = Annotated[
    tuple[Command, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(max_length=20),
]


RoleName = Literal["read", "triage", "write", "maintain", "admin"]


Pattern = Annotated[str, Field(max_length=300), AfterValidator(_check_pattern)]


Login = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]


BotLogin = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}\[bot\]$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BudgetSection(_Section):
    """What one run may use, and what a day may. None: the deployment's own."""

    usd: float | None = Field(default=None, gt=0, le=1_000)
    minutes: float | None = Field(default=None, gt=0, le=720)
    usd_per_day: float | None = Field(default=None, gt=0, le=100_000)


class PullRequestSection(_Section):
    draft: bool = False
    labels: tuple[str, ...] = Field(default=(), max_length=20)
    reviewers: tuple[str, ...] = Field(default=(), max_length=15)


class RepoConfig(_Section):
    """The file, read. `network` is what the sandbox may reach while the agent works; set-up always has it. `comments`
    says whose comments on the issue the agent is given. `people` (logins) may ask whatever their role is, and so may
    `bots` (`renovate[bot]`). In files that match `samples`, what looks like a secret is none. An empty `label` is the
    deployment's."""

    label: str = Field(default="", max_length=50)
    plan: Literal["auto", "approve"] = "auto"
    setup: Commands = ()
    test: str = Field(default="", max_length=2_000)
    lint: str = Field(default="", max_length=2_000)
    network: Literal["none", "all"] | tuple[str, ...] = "none"
    comments: Literal["members", "everyone"] = "members"
    protected: tuple[Pattern, ...] = Field(default=(), max_length=200)
    samples: tuple[Pattern, ...] = Field(default=(), max_length=200)
    budget: BudgetSection = BudgetSection()
    ci_fix_attempts: int = Field(default=2, ge=0, le=10)
    roles: tuple[RoleName, ...] = Field(default=("write", "maintain", "admin"), min_length=1)
    people: tuple[Login, ...] = Field(default=(), max_length=200)
    bots: tuple[BotLogin, ...] = Field(default=(), max_length=20)
    pull_request: PullRequestSection = PullRequestSection()

    @property
    def known(self) -> CachedConfig:
        """What the web process is to know of it."""
        return CachedConfig(self.label, self.bots, self.roles, self.people)


def read(file: YamlFile) -> RepoConfig:
    """The configuration that the parsed file holds.

    Raises:
        UserError: a key or value is not known. The text names line and key.
    """
    if file.data is None:
        return RepoConfig()
    if not isinstance(file.data, dict):
        raise UserError(f"`{PATH}` must hold `key: value` lines, such as `test: pytest -q`.")
    try:
        return RepoConfig.model_validate(file.data)
    except ValidationError as error:
        raise UserError(
            "\n".join(_explain(file, fault["loc"], fault["msg"], fault["type"]) for fault in error.errors()[:5])
        ) from error


def explain(error: ParseError) -> str:
    """Why the file could not be parsed, for who asked."""
    where = f"`{PATH}`, line {error.line}," if error.line else f"`{PATH}`"
    return f"{where} could not be read: {error}."


def _explain(file: YamlFile, location: tuple[int | str, ...], message: str, kind: str) -> str:
    key = ".".join(str(part) for part in location if isinstance(part, str) and "[" not in part)
    where = f"`{PATH}`, line {file.line_of(location)}"
    if kind != "extra_forbidden":
        return f"{where}: {code(key)}: {message}."
    known: dict[str, type[_Section]] = {"budget": BudgetSection, "pull_request": PullRequestSection}
    section = known.get(str(location[0]), RepoConfig) if len(location) > 1 else RepoConfig
    near = difflib.get_close_matches(str(location[-1])[:_MAX_KEY_CHARS], section.model_fields, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else f" Known keys: {', '.join(section.model_fields)}."
    return f"{where}: unknown key {code(key)}.{hint}"


@dataclass(frozen=True, slots=True)
class TestCommand:
    """A way to run a repository's tests; worth trying when `probe` (a shell command) ends with 0 in the sandbox."""

    __test__ = False  # not a test of ours, whatever pytest thinks of the name

    command: str
    probe: str


_IS_TEST: Final = re.compile(
    r"(^|/)(tests?|spec|specs|__tests__)/|(^|/)test_[^/]*\.py$|_test\.(py|go|rb|exs?)$|[._-](test|spec)\.[cm]?[jt]sx?$"
    r"|_spec\.rb$|Tests?\.(java|kt|cs|php)$"
)


def is_test(path: str) -> bool:
    """Is this a file of tests, going by its name?"""
    return _IS_TEST.search(path) is not None


def detect_tests(files: Mapping[str, bytes | None], package: JsonValue = None) -> tuple[TestCommand, ...]:
    """Ways to run the tests, most likely first, from the paths at the top of the tree and one level below.

    `files` maps path to content, which is needed for `Makefile` only; `package` is what `package.json` holds.
    """
    names = set(files)
    found: list[TestCommand] = []
    if any(name.endswith(".py") and is_test(name) for name in names) or names & {
        "pytest.ini",
        "tox.ini",
        "conftest.py",
    }:
        folder = "tests" if any(name.startswith("tests/") for name in names) else "."
        folder = "test" if folder == "." and any(name.startswith("test/") for name in names) else folder
        # A folder that is no package can be no part of a longer name.
        top = " -t ." if f"{folder}/__init__.py" in names else ""
        # What lies in `src` is found once it is installed, which takes a set-up; this finds it without.
        where = "PYTHONPATH=src " if any(name.startswith("src/") and name.endswith(".py") for name in names) else ""
        found += [
            TestCommand(f"{where}python -m pytest -q", "python -m pytest --version"),
            TestCommand(f"{where}python3 -m pytest -q", "python3 -m pytest --version"),
            TestCommand(f"{where}pytest -q", "pytest --version"),
            TestCommand(f"{where}python3 -m unittest discover -s {folder}{top}", "python3 --version"),
        ]
    if _has_npm_test(package):
        manager = next((name for lock, name in _LOCKS.items() if lock in names), "npm")
        found.append(TestCommand(f"{manager} test", f"{manager} --version"))
    found += [TestCommand(command, probe) for marker, command, probe in _BY_MARKER if marker in names]
    if re.search(rb"(?m)^test[ \t]*:", files.get("Makefile") or b""):
        found.append(TestCommand("make test", "make --version"))
    return tuple(found)


_LOCKS: Final = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lockb": "bun", "bun.lock": "bun"}
_BY_MARKER: Final = (
    ("go.mod", "go test ./...", "go version"),
    ("Cargo.toml", "cargo test --quiet", "cargo --version"),
    ("pom.xml", "mvn -q -B test", "mvn --version"),
    ("gradlew", "./gradlew test", "java -version"),
    (".rspec", "bundle exec rspec", "bundle --version"),
    ("Rakefile", "rake test", "rake --version"),
    ("phpunit.xml", "vendor/bin/phpunit", "test -x vendor/bin/phpunit"),
    ("phpunit.xml.dist", "vendor/bin/phpunit", "test -x vendor/bin/phpunit"),
    ("mix.exs", "mix test", "mix --version"),
)


def _has_npm_test(package: JsonValue) -> bool:
    scripts = package.get("scripts") if isinstance(package, dict) else None
    script = scripts.get("test") if isinstance(scripts, dict) else None
    return script is not None and "no test specified" not in str(script)
