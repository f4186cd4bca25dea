"""The caps of the house: files of at most 500 lines, functions of at most 60, at most 6 arguments."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "app").rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> list[tuple[Path, Function]]:
    return [
        (path, node)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, Function)
    ]


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {path: length for path, length in lengths.items() if length > 500} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    lengths = {f"{path.name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1 for path, node in functions()}
    assert {name: length for name, length in lengths.items() if length > 60} == {}


def test_no_function_takes_more_than_6_arguments() -> None:
    """Constructors of adapters take the vendor's settings by name; click hands over options by theirs."""
    too_many = {}
    for path, node in functions():
        arguments = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args) if arg.arg not in ("self", "cls")]
        by_name = len(node.args.kwonlyargs)
        is_constructor = node.name == "__init__" and "adapters" in path.parts
        if len(arguments) > 6 or (len(arguments) + by_name > 6 and not is_constructor and path.name != "cli.py"):
            too_many[f"{path.relative_to(ROOT)}:{node.name}"] = len(arguments) + by_name
    assert too_many == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_no_broad_except_swallows() -> None:
    """`except Exception` only where it raises again."""
    swallowing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]
    assert swallowing == []


def test_no_class_name_is_used_twice() -> None:
    """The embedded GitHub has GitHub's own names for things, as we have."""
    names = Counter(
        node.name
        for path in MODULES
        if ROOT / "app" / "demo" not in path.parents
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1] == []
