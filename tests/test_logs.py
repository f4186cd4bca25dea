import io
import json
import logging
from collections.abc import Iterator

import pytest

from app import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    handlers, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()
    logs.configure("info", lambda text: text.replace("hunter22", "[redacted]"), stream)
    yield stream
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_a_line_is_one_json_object_with_what_is_bound(stream: io.StringIO) -> None:
    with logs.bind(job_id="a~b~1"):
        logging.getLogger("app.x").info("began %s", "well", extra={"repo": "a/b"})
    logging.getLogger("app.x").warning("after")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["message"], first["job_id"], first["repo"], first["level"]) == ("began well", "a~b~1", "a/b", "info")
    assert "job_id" not in second


def test_secrets_do_not_reach_the_log(stream: io.StringIO) -> None:
    try:
        int("the password is hunter22")
    except ValueError:
        logging.getLogger("app.x").exception("failed with %s", "hunter22", extra={"url": "x://u:hunter22@h"})
    assert "hunter22" not in stream.getvalue()
    assert json.loads(stream.getvalue())["exception"].endswith("'the password is [redacted]'")
