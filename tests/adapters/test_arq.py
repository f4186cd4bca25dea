"""The parts of arq that our worker overrides or relies on are those it was written against."""

import hashlib
import inspect
from importlib.metadata import version

from arq.worker import Worker

from app.adapters.redis.worker import ARQ_VERSION, QueueWorker

OVERRIDDEN = {
    "_poll_iteration": "f8d39d823a0a59f2",
    "close": "5bcc9cb356680829",
    "finish_job": "903f09c92830d3fd",
    "handle_sig": "985ff7ba01aa8f04",
}
RELIED_ON = {
    "__init__": "edfb0cd7e05e77cf",
    "handle_sig_wait_for_completion": "8f161d86834cc74e",
    "heart_beat": "2e9959bea66dc551",
    "main": "45ca1591c9717466",
    "run_job": "589a19059ff84ee7",
}


def digest_of(name: str) -> str:
    return hashlib.sha256(inspect.getsource(getattr(Worker, name)).encode()).hexdigest()[:16]


def test_the_worker_was_written_against_this_arq() -> None:
    """Where this fails, read what changed in `arq/worker.py` beside `adapters/redis/worker.py`, then set both anew."""
    assert version("arq") == ARQ_VERSION
    expected = OVERRIDDEN | RELIED_ON
    assert {name: digest_of(name) for name in expected} == expected


def test_nothing_else_of_arq_is_overridden() -> None:
    shared = {name for name, value in vars(QueueWorker).items() if callable(value) and hasattr(Worker, name)}
    assert shared - {"__init__"} == set(OVERRIDDEN)
