"""What is called broken, and what is not."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from app.adapters.parsers.syntax import MAX_BYTES, MAX_FAULTS, check
from app.core.parsed import introduced

WELL_FORMED = {
    "a.py": "type X = int\n\n\ndef f[T](a: T) -> str:\n    return f'{a['b']}'\n",
    "old.py": "print 'two'\n",
    "a.js": "function f() { return <a href={b}>c</a>; }",
    "flow.js": "const x: number = 1;",
    "a.ts": "const x = <T>(y: unknown) => y as T;",
    "a.tsx": "const A = () => <b>{1}</b>;",
    "a.go": 'package a\n\nfunc f() string { return "" }\n',
    "a.rs": "fn f<'a>(x: &'a str) -> &'a str { x }\n",
    "A.java": "class A { int f() { return 1; } }",
    "a.rb": "def f = 1\n",
    "Gemfile": "gem 'rails'\n",
    "a.json": '{"a": [1, null]}',
    "a.yaml": "a:\n  - b: ${{ secrets.X }}\n",
    "a.toml": "[a]\nb = 1\n",
    "empty.py": "",
    "crlf.py": "def f():\r\n    return 1\r\n",
    "escape.py": "x = '\\d'\n",
    "bom.py": "\ufeffx = 1\n",
}

BROKEN = {
    "a.py": "def f(:\n    pass\n",
    "indented.py": "def f():\n    x = 1\n      y = 2\n",
    "flat.py": "def f():\nreturn 1\n",
    "order.py": "f(a=1, 2)\n",
    "a.js": "let a = {b: };",
    "a.ts": "interface A { b: }",
    "a.tsx": "const A = () => <b>{1}</c",
    "a.go": "package a\nfunc f() { x := }\n",
    "a.rs": "fn f( {}\n",
    "A.java": "class A { void f() { int x = ; } }",
    "a.rb": "def f\n  1\n",
    "Rakefile": "task :a do\n",
    "a.json": '{"a": 1,}',
    "a.yml": "a: [1, 2\n",
    "a.toml": "a = \n",
}

NOT_JUDGED = {
    "tsconfig.json": '{"a": 1, /* b */}',
    "packages/a/tsconfig.build.json": '{"a": 1,}',
    ".vscode/settings.json": '{"a": 1,}',
    "a.json5": "{a: 1,}",
    "a.jsonc": '{"a": 1,}',
    "chart/templates/a.yaml": "{{- if .Values.a }}\na: [1\n{{- end }}\n",
    "playbook.yml": "{% for a in b %}\n  x: [\n{% endfor %}\n",
    "{{ cookiecutter.name }}/a.py": "import {{ cookiecutter.name }}.x\n",
    "a.c": "int main( {",
    "Makefile": "\tx:",
    "a": "(",
}


@pytest.mark.parametrize("path", WELL_FORMED)
def test_well_formed_files_have_no_faults(path: str) -> None:
    assert check(path, WELL_FORMED[path].encode()) == ()


@pytest.mark.parametrize("path", BROKEN)
def test_broken_files_have_faults(path: str) -> None:
    assert check(path, BROKEN[path].encode())


@pytest.mark.parametrize("path", NOT_JUDGED)
def test_what_cannot_be_known_is_not_called_broken(path: str) -> None:
    assert check(path, NOT_JUDGED[path].encode()) is None


def test_a_fault_says_where_and_what() -> None:
    assert [
        str(fault) for path in ("a.py", "flat.py", "a.go") for fault in check(path, BROKEN[path].encode()) or ()
    ] == (
        snapshot(
            [
                "line 1, column 7: `)` is missing",
                "line 2, column 1: expected an indented block after function definition on line 1",
                "line 2, column 16: `identifier` is missing",
            ]
        )
    )


def test_faults_that_were_there_before_are_not_blamed_on_an_edit() -> None:
    before = check("a.js", b"let a = {b: };\nlet c = 1;\n")
    moved = check("a.js", b"// new\n\nlet a = {b: };\nlet c = 2;\n")
    worse = check("a.js", b"let a = {b: };\nlet c = {d: };\n")

    assert introduced(before, moved) == ()
    assert [fault.line for fault in introduced(before, worse)] == [2]


def test_the_faults_of_a_hopeless_file_are_bounded() -> None:
    assert len(check("a.go", b"package a\n" + b"func f() { x := }\n" * 500) or ()) == MAX_FAULTS


def test_a_very_large_file_is_not_judged() -> None:
    assert check("a.json", b"[" * (MAX_BYTES + 1)) is None


def test_garbage_costs_a_bounded_time() -> None:
    garbage = bytes(random.Random(1).choices(b"(){}[]<>;:,'\"\n abcdef=+-*/", k=50_000))

    assert check("A.java", garbage) is None  # without a bound: many minutes


def test_deep_nesting_is_survived() -> None:
    check("a.py", b"x = " + b"(" * 50_000 + b")" * 50_000)
    check("a.json", b"[" * 100_000)


def test_the_modules_of_this_program_have_no_faults() -> None:
    root = Path(__file__).parents[2]
    assert {path: check(str(path), path.read_bytes()) for path in root.glob("app/**/*.py") if path.stat().st_size} == (
        {path: () for path in root.glob("app/**/*.py") if path.stat().st_size}
    )


@given(st.binary(max_size=200), st.sampled_from(sorted(WELL_FORMED)))
def test_any_bytes_are_judged_without_an_exception(data: bytes, path: str) -> None:
    for fault in check(path, data) or ():
        assert fault.line >= 1
        assert fault.message
