"""The status API, described by hand (https://spec.openapis.org/oas/v3.1.0) and held to the truth by a test."""

from typing import Final

from app.core.inbound.commands import MAX_ADD_USD
from app.core.ports.queue import WaitReason
from app.core.run.job import Mode, Source
from app.core.run.run import Conclusion, Kind, Stage, Status
from app.core.run.verification import Verdict
from app.web.api.views import Document

_TEXT: Final[Document] = {"type": "string"}
_TEXT_OR_NULL: Final[Document] = {"type": ["string", "null"]}
_WHOLE: Final[Document] = {"type": "integer"}
_WHOLE_OR_NULL: Final[Document] = {"type": ["integer", "null"]}
_NUMBER: Final[Document] = {"type": "number"}
_SECONDS: Final[Document] = {"type": ["number", "null"]}
_FLAG: Final[Document] = {"type": "boolean"}
_TIME: Final[Document] = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Final[Document] = {"type": ["string", "null"], "format": "date-time"}


def _shape(**properties: Document) -> Document:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _one_of(values: type[Status | Conclusion | Stage | Mode | Source | Verdict | Kind | WaitReason]) -> Document:
    return {"type": "string", "enum": [str(value) for value in values]}


def _many(item: Document) -> Document:
    return {"type": "array", "items": item}


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _maybe(schema: Document) -> Document:
    return {"anyOf": [schema, {"type": "null"}]}


def _id_or_null(description: str) -> Document:
    return {"description": description, **_TEXT_OR_NULL}


_HEAD: Final[dict[str, Document]] = {
    "id": _TEXT,
    "repo": _TEXT,
    "number": _WHOLE_OR_NULL,
    "url": _TEXT_OR_NULL,
    "title": _TEXT,
    "source": _one_of(Source),
    "requested_by": _TEXT,
    "mode": _one_of(Mode),
    "status": _one_of(Status),
    "conclusion": _maybe(_one_of(Conclusion)),
    "stage": _maybe(_one_of(Stage)),
    "progress_percentage": {"type": "integer", "minimum": 0, "maximum": 100},
    "message": _TEXT,
    "needs": _TEXT_OR_NULL,
    "superseded_by": _id_or_null("The run that took over this run's plan, or replaced it."),
    "continues": _id_or_null(
        "The run that this one continues: the one whose plan was approved or changed, or that was retried."
    ),
    "pull_request": _maybe(_ref("PullRequest")),
    "cost": _ref("Cost"),
    "attempt": _WHOLE,
    "created_at": _TIME,
    "started_at": _TIME_OR_NULL,
    "ended_at": _TIME_OR_NULL,
    "updated_at": _TIME,
    "seconds": _SECONDS,
    "links": _shape(self=_TEXT, progress=_TEXT, result=_TEXT, events=_TEXT, page=_TEXT),
}

_RESULT: Final[dict[str, Document]] = {
    "branch": _TEXT_OR_NULL,
    "base": _TEXT_OR_NULL,
    "commits": _many(_ref("Commit")),
    "verification": _maybe(_ref("Verification")),
    "summary": _TEXT,
    "failure": _maybe(_shape(kind=_TEXT, message=_TEXT, stage=_maybe(_one_of(Stage)), excerpt=_TEXT)),
}

SCHEMAS: Final[dict[str, Document]] = {
    "Job": _shape(
        **_HEAD,
        **_RESULT,
        stages=_many(_ref("Stage")),
        plan=_maybe(_shape(title=_TEXT, summary=_TEXT, steps=_many(_ref("Step")))),
        model=_TEXT_OR_NULL,
        notices=_many(_TEXT),
    ),
    "JobList": _shape(jobs=_many(_shape(**_HEAD)), cursor=_TEXT_OR_NULL),
    "Progress": _shape(
        **{
            name: _HEAD[name]
            for name in ("status", "conclusion", "stage", "progress_percentage", "message", "needs", "superseded_by")
        },
        attempt=_WHOLE,
        updated_at=_TIME,
        queue=_maybe(_shape(position=_WHOLE, reason=_one_of(WaitReason))),
    ),
    "Result": _shape(
        **{
            name: _HEAD[name] for name in ("status", "conclusion", "superseded_by", "continues", "pull_request", "cost")
        },
        **_RESULT,
    ),
    "Commits": _shape(commits=_many(_ref("Commit"))),
    "Activity": _shape(seq=_WHOLE, at=_TIME, seconds=_NUMBER, kind=_one_of(Kind), text=_TEXT),
    "Stage": _shape(
        name=_one_of(Stage),
        status=_one_of(Status),
        conclusion=_maybe(_one_of(Conclusion)),
        started_at=_TIME_OR_NULL,
        ended_at=_TIME_OR_NULL,
        seconds=_SECONDS,
        detail=_TEXT,
    ),
    "Step": _shape(title=_TEXT, files=_many(_TEXT), check=_TEXT, status=_one_of(Status), commit=_TEXT_OR_NULL),
    "Commit": _shape(
        sha=_TEXT, subject=_TEXT, files=_many(_TEXT), step=_WHOLE_OR_NULL, is_verified=_FLAG, url=_TEXT_OR_NULL
    ),
    "PullRequest": _shape(number=_WHOLE, url=_TEXT, head_sha=_TEXT, is_draft=_FLAG),
    "Verification": _shape(
        verdict=_one_of(Verdict),
        runs=_many(
            _shape(
                on=_TEXT, command=_TEXT, exit_code=_WHOLE, passed=_FLAG, timed_out=_FLAG, seconds=_NUMBER, tail=_TEXT
            )
        ),
        tree_sha=_TEXT_OR_NULL,
        changed_tests=_many(_TEXT),
    ),
    "Cost": _shape(
        usd=_NUMBER, is_priced=_FLAG, input_tokens=_WHOLE, cached_tokens=_WHOLE, output_tokens=_WHOLE, turns=_WHOLE
    ),
    "Asked": {
        "type": "object",
        "properties": {
            "repo": {"type": "string", "description": "owner/name"},
            "request": {"type": "string", "description": "What is to be done, in plain words.", "maxLength": 20_000},
            "base": {"type": ["string", "null"], "description": "The branch to start from; the default branch."},
        },
        "required": ["repo", "request"],
        "additionalProperties": False,
    },
    "More": {
        "type": "object",
        "properties": {"usd": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_ADD_USD}},
        "required": ["usd"],
        "additionalProperties": False,
    },
    "Branch": _shape(
        name=_TEXT, exists=_FLAG, sha=_TEXT_OR_NULL, source={"type": "string", "enum": ["github", "runs"]}
    ),
    "Problem": {
        "type": "object",
        "properties": {"type": _TEXT, "title": _TEXT, "status": _WHOLE, "detail": _TEXT},
        "required": ["type", "title", "status"],
    },
}


def _query(name: str, description: str) -> Document:
    return {"name": name, "in": "query", "description": description, "schema": _TEXT}


def _content(media_type: str, schema: Document) -> Document:
    return {"content": {media_type: {"schema": schema}}}


def _problems(*codes: int) -> Document:
    problem = _content("application/problem+json", _ref("Problem"))
    return {str(code): {"description": "Problem", **problem} for code in codes}


def _get(summary: str, schema: str, *, of_job: bool = True, parameters: tuple[Document, ...] = ()) -> Document:
    known = {"name": "If-None-Match", "in": "header", "schema": _TEXT}
    answers = {"200": {"description": summary, **_content("application/json", _ref(schema))}}
    same: Document = {"304": {"description": "Not modified since the caller's ETag."}}
    problems = _problems(401, 404, 429, 503) if of_job else _problems(400, 401, 404, 429, 503)
    return {"summary": summary, "parameters": [*parameters, known], "responses": {**answers, **same, **problems}}


def _post(summary: str) -> Document:
    again = {"name": "Idempotency-Key", "in": "header", "description": "Names the request.", "schema": _TEXT}
    return {
        "summary": summary,
        "description": "Needs the operator's token, or the token of a GitHub user with the required role. "
        "The same Idempotency-Key gives the same job; without one, so does the same request within a minute.",
        "parameters": [again],
        "requestBody": {"required": True, **_content("application/json", _ref("Asked"))},
        "responses": {
            "202": {"description": "Queued.", **_content("application/json", _ref("Job"))},
            **_problems(401, 403, 404, 408, 409, 413, 422, 429, 503),
        },
    }


_ID: Final[Document] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "As in `Job.id`, or `owner/name#12:comment:99` escaped for a URL.",
    "schema": _TEXT,
}
_STREAM: Final[Document] = {
    "summary": "The run as it happens, by server-sent events.",
    "description": "Events: `activity` (Activity; its `seq` is the event's id), `progress` (Progress), `done` (Result; "
    "the stream ends after it). `Last-Event-ID` is honoured.",
    "parameters": [_query("after", "Leave out activities up to this `seq`.")],
    "responses": {
        "200": {"description": "Events", **_content("text/event-stream", _TEXT)},
        **_problems(401, 404, 429, 503),
    },
}


def _tell(summary: str, answer: str, *, body: str = "") -> Document:
    again = {"name": "Idempotency-Key", "in": "header", "description": "Names the request.", "schema": _TEXT}
    asked = {"requestBody": {"required": True, **_content("application/json", _ref(body))}} if body else {}
    return {
        "summary": summary,
        "description": "Needs the operator's token, or the token of a GitHub user with the required role. "
        "409 if the run's state doesn't allow it; `detail` says why.",
        "parameters": [] if answer == "Progress" else [again],
        **asked,
        "responses": {
            "202": {"description": "Accepted; a worker will process it.", **_content("application/json", _ref(answer))},
            **_problems(401, 403, 404, 409, 422, 429, 503),
        },
    }


_FILTER: Final = (
    _query("repo", "owner/name. Required except for the operator."),
    _query("status", "queued, in_progress or completed."),
    _query("cursor", "The `cursor` of the previous page."),
    _query("limit", "1 to 100; default 50."),
)


_BRANCH_AT: Final = [
    {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in ("owner", "name", "branch")
]
_BRANCH: Final[Document] = {
    "summary": "Whether a branch exists, and its sha.",
    "description": "A GitHub user token queries GitHub; the operator's token sees only branches pushed by runs, and "
    "gets 501 for others.",
    "responses": {
        "200": {"description": "The branch's state.", **_content("application/json", _ref("Branch"))},
        "304": {"description": "Not modified since the caller's ETag."},
        **_problems(400, 401, 403, 404, 429, 501, 503),
    },
}


def _of_job(get: Document) -> Document:
    return {"parameters": [_ID], "get": get}


def _told(summary: str, answer: str, *, body: str = "") -> Document:
    return {"parameters": [_ID], "post": _tell(summary, answer, body=body)}


OPENAPI: Final[Document] = {
    "openapi": "3.1.0",
    "info": {
        "title": "vibecoder status API",
        "version": "1",
        "description": "Runs: their progress, outcome and cost. Keys are only ever added. Access: the operator's "
        "token or a GitHub user token with the read role as Bearer, or a run's own ?key=.",
    },
    "paths": {
        "/api/jobs": {
            "get": _get("Runs, newest first.", "JobList", of_job=False, parameters=_FILTER),
            "post": _post("Carry out a request."),
        },
        "/api/plans": {"post": _post("Plan a request and wait for approval.")},
        "/api/jobs/{id}": _of_job(_get("The whole status document.", "Job")),
        "/api/jobs/{id}/progress": _of_job(_get("Current progress; small, suited to polling.", "Progress")),
        "/api/jobs/{id}/result": _of_job(_get("The outcome; `conclusion` is null while the run is open.", "Result")),
        "/api/jobs/{id}/commits": _of_job(_get("The commits so far.", "Commits")),
        "/api/jobs/{id}/events": _of_job(_STREAM),
        "/api/jobs/{id}/approve": _told("Approve the run's plan.", "Job"),
        "/api/jobs/{id}/stop": _told("Stop the run; finished work stays on its branch.", "Progress"),
        "/api/jobs/{id}/retry": _told("Resume an unsuccessful run after its last completed step.", "Job"),
        "/api/jobs/{id}/budget": _told(
            "Add to the budget of a run in progress, or resume one that ran out.", "Job", body="More"
        ),
        "/api/jobs/{id}/pull-request": _told("Open a pull request from an ended run's commits.", "Job"),
        "/api/repos/{owner}/{name}/branches/{branch}": {"parameters": _BRANCH_AT, "get": _BRANCH},
    },
    "security": [{"token": []}, {"link": []}],
    "components": {
        "schemas": SCHEMAS,
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "link": {"type": "apiKey", "in": "query", "name": "key"},
        },
    },
}
