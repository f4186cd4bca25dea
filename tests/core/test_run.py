"""Runs as they are kept, by this version and by others beside it."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from app.core.errors import StoreError
from app.core.run.codec import decode, encode
from app.core.run.run import Run
from tests.contract.sample_run import a_full_run, a_run

NEWER = {"version": 7, "reviewers": ["octocat"], "mood": {"is": "cheerful", "since": 1.5}}


def kept(run: Run, **more: object) -> dict[str, Any]:
    """The run's document, and what else a version wrote into it."""
    return {**json.loads(encode(run)), **more}


def test_a_run_is_read_as_it_was_written() -> None:
    for run in (a_run(), a_full_run()):
        assert decode(encode(run)) == run


def test_a_run_of_a_newer_version_is_read() -> None:
    run = decode(json.dumps(kept(a_full_run(), **NEWER)))

    assert run == replace(a_full_run(), version=7, unknown=run.unknown)


def test_what_a_newer_version_wrote_survives_a_change_by_this_one() -> None:
    run = decode(json.dumps(kept(a_run(), **NEWER)))

    changed = decode(encode(replace(run, percent=50, message="Half of it is done.")))
    again = json.loads(encode(replace(changed, percent=60)))

    assert again == kept(a_run(), **NEWER, percent=60, message="Half of it is done.")


def test_what_is_not_understood_never_speaks_for_what_is() -> None:
    run = replace(a_run(), unknown=json.dumps({"percent": 99, "mood": "cheerful"}))

    assert json.loads(encode(run))["percent"] == 0
    assert decode(encode(run)).percent == 0


def test_a_run_of_an_older_version_gets_what_it_lacks() -> None:
    older = {name: value for name, value in kept(a_run()).items() if name == "job"}

    assert decode(json.dumps(older)) == a_run()


def test_every_field_of_a_run_but_the_job_may_be_lacking() -> None:
    """A field without a default would end every run that waits while a deployment is renewed."""
    whole = kept(a_full_run())
    for field in fields(Run):
        if field.name != "job":
            decode(json.dumps({name: value for name, value in whole.items() if name != field.name}))


def test_fields_within_parts_may_be_new() -> None:
    document = kept(a_full_run())
    document["cost"]["currency"] = "EUR"
    document["stages"][0]["machine"] = "m1"

    assert decode(json.dumps(document)) == a_full_run()


def test_half_a_surrogate_pair_ends_no_run() -> None:
    run = replace(a_run(), message="é 🙂 \ud83d", unknown=json.dumps({"mood": "\ud83d"}))

    assert decode(encode(run)) == replace(run, message="é 🙂 ?", unknown=json.dumps({"mood": "?"}))


def test_what_is_unknown_is_not_written_as_a_field() -> None:
    assert "unknown" not in kept(a_full_run())
    assert "unknown" not in json.loads(encode(decode(json.dumps(kept(a_run(), **NEWER)))))


@pytest.mark.parametrize("document", ["", "{}", "[]", "null", '{"job": 1}'])
def test_what_is_no_run_is_an_error(document: str) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        decode(document)


def test_a_stage_of_a_newer_version_is_an_error_and_not_a_guess() -> None:
    document = kept(a_full_run())
    document["stages"][0]["stage"] = "celebrate"

    with pytest.raises(StoreError, match="cannot be read"):
        decode(json.dumps(document))
