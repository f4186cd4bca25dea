"""The built wheel in a fresh virtual environment, from a folder that has nothing to do with this one."""

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from app import wiring
from app.demo.model.scripted import ScriptedModel
from tests.e2e.test_command_line import git, make_repository
from tests.e2e.turns import MEND

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the build backend that is installed: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def vibecoder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment of its own, which sees what this one has installed, but not this source tree."""
    folder = tmp_path_factory.mktemp("environment")
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--isolated"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], cwd=folder, check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # `.pth` files in a folder that one of them names are not read, so the editable installation there is out of reach
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = [python, "-I", "-c", "import app; print(app.__file__)"]
    where = subprocess.run(found, cwd="/", capture_output=True, text=True, check=True).stdout
    assert Path(where).is_relative_to(packages)
    return folder / "bin" / "vibecoder"


async def run(vibecoder: Path, *argv: str, folder: Path, **environ: str) -> str:
    """Run the command with nothing in its environment but what is given and a home; what it prints."""
    everything = {"PATH": os.environ["PATH"], "HOME": str(folder), **environ}
    process = await asyncio.create_subprocess_exec(vibecoder, *argv, cwd=folder, env=everything, stdout=-1, stderr=-1)
    async with asyncio.timeout(100):
        out, err = await process.communicate()
    assert process.returncode == 0, (out + err).decode()
    assert b"Traceback" not in err
    return out.decode()


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    files = {path.relative_to(ROOT) for path in (ROOT / "app").rglob("*") if path.is_file()}
    expected = {path.as_posix() for path in files if "__pycache__" not in path.parts} | {"app/app.yml"}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert archive.read("app/app.yml") == (ROOT / "app.yml").read_bytes()
    assert held == expected


async def test_help_and_the_demo_work_from_the_wheel(vibecoder: Path, tmp_path: Path) -> None:
    assert "demo" in await run(vibecoder, "--help", folder=tmp_path)
    document = json.loads(await run(vibecoder, "demo", "--once", "--json", folder=tmp_path))
    assert document["conclusion"] == "success"
    assert document["pull_request"]["number"]


async def test_a_local_run_works_from_the_wheel(vibecoder: Path, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "greeter")
    async with ScriptedModel() as model:
        model.says(*MEND)
        sandbox = "unisolated" if wiring.why_not_isolated() else "local"
        argv = ("run", "--repo", str(repository), "Mend the greeting")
        environ = {"OPENAI_BASE_URL": model.url, "MODEL": "scripted", "SANDBOX": sandbox}
        out = await run(vibecoder, *argv, folder=tmp_path, **environ)
    assert "proven" in out
    assert "vibecode/mend-the-greeting-" in git(repository, "branch", "--list", "vibecode/*")
