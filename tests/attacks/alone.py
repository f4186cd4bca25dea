"""One attack, carried out in this process, in a world of its own."""

import asyncio
import importlib
import shutil
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.attacks.attack import ATTACKS, GROUPS
from tests.attacks.scene import opened

LIMIT_S: Final = 300.0
"""On an idle machine hardly any takes a minute."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attack went; `why` is empty when it failed as it should."""

    name: str
    why: str
    seconds: float


def load() -> None:
    """Import every group's module, which registers its attacks."""
    for group in GROUPS:
        importlib.import_module(f"tests.attacks.{group}")


def carry_out(name: str) -> Outcome:
    """Carry one attack out, in a world of its own."""
    load()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    try:
        asyncio.run(_carry_out(name, folder))
        why = ""
    except AssertionError as error:
        frame = next(
            each for each in reversed(traceback.extract_tb(error.__traceback__)) if "scene.py" not in each.filename
        )
        why = f"{Path(frame.filename).name}:{frame.lineno}: {error or frame.line}"
    except Exception as error:  # noqa: BLE001 -- whatever it was, the others go on, and this one did not pass
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(name, why, time.monotonic() - began)


async def _carry_out(name: str, folder: Path) -> None:
    attack = ATTACKS[name]
    async with (
        asyncio.timeout(LIMIT_S),
        opened(folder, files=attack.files, is_worker_up=attack.is_worker_up, environ=attack.environ) as scene,
    ):
        await attack.carry_out(scene)
