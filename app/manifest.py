"""The App's manifest, `app.yml`: what GitHub makes the App from, and what `doctor` holds it to."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import yaml


def load_manifest() -> Mapping[str, object]:
    """The manifest as it is written, addresses and all."""
    package = Path(__file__).parent
    path = next(path for path in (package / "app.yml", package.parent / "app.yml") if path.exists())
    return cast(Mapping[str, object], yaml.safe_load(path.read_text("utf-8")))
