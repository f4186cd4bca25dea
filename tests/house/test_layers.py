"""The house keeps its shape: imports point one way, and nobody but the named places does what they alone may."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"
MODULES = sorted(APP.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file imports, inside functions too, but not those for type checking only."""
    tree = ast.parse(path.read_text("utf-8"))
    guarded = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in guarded:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([linter, "--no-cache"], cwd=APP.parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_only_wiring_imports_adapters() -> None:
    offenders = {
        str(path.relative_to(APP))
        for path in MODULES
        if APP / "adapters" not in path.parents and any(name.startswith("app.adapters") for name in imported(path))
    }
    assert offenders == {"wiring.py"}


def test_only_settings_reads_the_environment() -> None:
    readers = {
        str(path.relative_to(APP))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr in ("environ", "getenv", "environb")
    }
    assert readers == {"settings.py"}


@pytest.mark.parametrize("folder", ["core", "text"])
def test_core_and_text_do_no_input_or_output(folder: str) -> None:
    banned = {
        "os",
        "socket",
        "subprocess",
        "asyncio",
        "time",
        "random",
        "httpx",
        "redis",
        "logging",
        "tempfile",
        "shutil",
    }
    for path in sorted((APP / folder).rglob("*.py")):
        assert not imported(path) & banned, path
        calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
        assert not calls & {"datetime.now", "datetime.utcnow", "open", "print", "input"}, path


def test_the_web_process_loads_no_vendor_it_does_not_need() -> None:
    script = "import sys, app.commands.web, app.web.app; print(*sys.modules)"
    listing = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    vendors = {"githubkit", "openai", "e2b", "tree_sitter", "arq", "rich"}
    assert not {name.partition(".")[0] for name in listing} & vendors
