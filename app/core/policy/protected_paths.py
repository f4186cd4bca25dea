"""Paths that steer something else than the program: CI, reviews, git, and other people's agents and editors.

They are held back under every name that they have on some file system. What instructs agents and editors may be changed
when the request names it; what gives rights or runs with a repository's secrets never is.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final

from app.core.policy.globs import Globs, compile_globs, match_any
from app.core.policy.request_text import affirmative_text

ALWAYS: Final = (
    *("/.github", "CODEOWNERS", ".gitattributes", ".gitmodules", ".lfsconfig", ".mergify*", ".gitlab"),
    *(".gitlab-ci*", "*.gitlab-ci.yml", ".travis.yml", ".circleci", "azure-pipelines*", ".azure-pipelines"),
    *(".azuredevops", "Jenkinsfile*", "bitbucket-pipelines*", ".drone.*", "appveyor.y*ml", ".appveyor*", ".buildkite"),
    *(".woodpecker*", ".cirrus*", ".teamcity", "cloudbuild*.y*ml", "cloudbuild*.json", "buildspec*.y*ml", ".semaphore"),
    *(".gitea", ".forgejo", ".builds", ".build.yml", "bamboo-specs", "codemagic.y*ml", "bitrise.y*ml"),
    *(".tekton", ".zuul.*", "zuul.yaml", ".zuul.d", "zuul.d", ".prow*", ".taskcluster.yml", ".harness", ".vsts-ci*"),
    *("wercker.yml", ".scrutinizer.yml", "screwdriver.yaml", "codefresh.yml", ".codefresh", ".gocd.y*ml"),
    *(".packit.y*ml", "bors.toml", ".kodiak.toml", ".bulldozer.y*ml", ".policy.yml", ".pullapprove.y*ml"),
    *("renovate.json*", ".renovaterc*", "dependabot.y*ml"),
)
"""Whatever the repository's file or the request says, in the syntax of `.gitignore`."""

UNLESS_NAMED: Final = (
    *(
        "AGENT.md",
        "AGENTS.md",
        "AGENTS.*.md",
        "CLAUDE.md",
        "CLAUDE.*.md",
        "GEMINI.md",
        "GEMINI.*.md",
        "QWEN.md",
        "WARP.md",
    ),
    *("CONTRIBUTING", "CONTRIBUTING.md*", "CONTRIBUTING.rst", "CONTRIBUTING.txt", "CONTRIBUTING.a*doc"),
    *("CONTRIBUTING.markdown", "CONTRIBUTING.org", "CONTRIBUTING.*.md", "QWEN.md", "WARP.md"),
    *("copilot-instructions.md", "*.instructions.md", ".copilot*", ".mcp.json", "opencode.json*", ".opencode*"),
    *(".claude*", ".codex*", ".cursor*", ".gemini*", ".windsurf*", ".clinerules*", ".cline*", ".roo*", ".junie*"),
    *(".kiro*", ".aider*", ".continue*", ".amazonq*", ".augment*", ".trae*", ".goose*", ".openhands*", ".qodo*"),
    *(".agent", ".agents", ".kilocode*", ".crush*", "CRUSH.md", ".factory", ".aiassistant", ".tabnine*", ".rovodev*"),
    *(".firebender*", "firebender.json", ".rules", ".cody*", ".codeium*", ".lingma", ".qoder*", ".codebuddy*", "*.mdc"),
    *(".vs", ".fleet", "*.sublime-project", ".vimrc", ".lvimrc", "_vimrc"),
    *(".pr_agent.toml", ".coderabbit.y*ml", ".vscode", "*.code-workspace", ".idea", ".zed"),
    *(".devcontainer*", "devcontainer.json", ".gitpod*", ".idx", ".replit", ".envrc", ".exrc", ".nvimrc", ".nvim.lua"),
    *(".dir-locals.el", ".pre-commit-config.y*ml", ".husky", "lefthook.*", ".lefthook*"),
)
"""Unless the request names them, in the same syntax."""


def list_held(paths: Sequence[str], protected: Sequence[str] = (), request: str = "") -> list[str]:
    """Which of these paths are held back, in order. `protected` are the repository's own patterns, `request` the words
    of people who may start runs.

    A file or link that would take the place of a folder with such a path in it is one of them, and so is what would lie
    in the place of such a path.
    """
    said = fold(affirmative_text(request))
    return _list_held(paths, protected, lambda path: _is_named(path, said))


def _list_held(paths: Sequence[str], protected: Sequence[str], is_named: Callable[[str], bool]) -> list[str]:
    # Apart, so that no `!pattern` of the repository's own lifts what always holds.
    specs = (_always(), compile_globs(tuple(map(fold, protected))))
    held = {
        path
        for path in paths
        if any(_matches(spec, path) for spec in specs) or (_matches(_unless(), path) and not is_named(path))
    }
    above = {folder for path in held for folder in _folders(path)}
    return [path for path in paths if path in held or path in above or not held.isdisjoint(_folders(path))]


def list_nameable(paths: Sequence[str], protected: Sequence[str] = ()) -> list[str]:
    """Which of these held paths a request may have changed by naming them."""
    return [path for path in paths if _matches(_unless(), path) and not list_never([path], protected)]


def list_never(paths: Sequence[str], protected: Sequence[str] = ()) -> list[str]:
    """Which of these paths are held back whatever the request says."""
    return _list_held(paths, protected, lambda _: True)


def elsewhere(part: str) -> str:
    """A name as file systems read it that ignore case, composition, and dots, blanks or a stream at its end."""
    folded = fold(part)
    return folded.partition(":")[0].rstrip(" .") or folded


def fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def fold_path(path: str) -> str:
    """The path as every file system reads it: two that are one file somewhere are equal."""
    return "/".join(elsewhere(part) for part in path.split("/"))


@cache
def _always() -> Globs:
    return compile_globs(tuple(map(fold, ALWAYS)))


@cache
def _unless() -> Globs:
    return compile_globs(tuple(map(fold, UNLESS_NAMED)))


def _matches(globs: Globs, path: str) -> bool:
    """Is the path protected, or may something below it be? What is there may be in the place of a folder."""
    name = fold_path(path)
    return match_any(globs, name) or match_any(globs, f"{name}/x")


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _is_named(path: str, said: str) -> bool:
    """Do these words have the path in them, or that part of it which makes it protected: the file's name, the folder's?

    `docs/AGENTS.md` is no word about `AGENTS.md`, and `.cursor/rules` none about all of `.cursor`.
    """
    parts = fold_path(path).split("/")
    for at, part in enumerate(parts):
        if part in said and _matches(_unless(), part) and any(_is_said(name, said) for name in _names(parts, at, said)):
            return True
    return False


def _names(parts: Sequence[str], at: int, said: str) -> Iterator[str]:
    """The parts of the path around this one that stand in the text. Where a short one does not, no longer one does."""
    for start in range(at, -1, -1):
        for end in range(at + 1, len(parts) + 1):
            name = "/".join(parts[start:end])
            if name not in said:
                break
            yield name
        if "/".join(parts[start : at + 1]) not in said:
            return


def _is_said(name: str, said: str) -> bool:
    return re.search(rf"(?<![\w/.-])(?:\./)?{re.escape(name)}(?![\w-]|\.\w|/[\w.])", said) is not None
