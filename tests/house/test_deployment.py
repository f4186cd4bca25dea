"""The image can be built from what its Dockerfile copies."""

import re
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_the_image_is_built_with_every_file_that_the_wheel_needs() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", PROJECT["project"]["readme"], *wheel["packages"], *wheel["force-include"]}
    build_stage = (ROOT / "deploy" / "Dockerfile").read_text("utf-8").split("\nFROM ")[1]
    copied = {name for line in re.findall(r"(?m)^COPY (.+) \S+$", build_stage) for name in line.split()}
    assert needed <= copied


def test_what_holds_secrets_or_is_large_stays_out_of_the_build() -> None:
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").split()
    assert {".env*", ".git", ".venv", ".vibecoder"} <= set(ignored)
