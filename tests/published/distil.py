"""Distils GitHub's published descriptions to what this product touches.

    npm install --prefix FOLDER @octokit/openapi@23.0.2 @octokit/graphql-schema@15.26.1
    python -m tests.published.distil FOLDER

writes `rest.json`, `webhooks.json` and `schema.graphql` next to this file. To describe one more operation or event, add
it below and run this again. OpenAPI 3.0 becomes JSON Schema 2020-12: `nullable` is a type there; prose and examples go.
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from graphql import (
    DocumentNode,
    EnumTypeDefinitionNode,
    InterfaceTypeDefinitionNode,
    NamedTypeNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    TypeNode,
    parse,
    print_ast,
)

Json: TypeAlias = dict[str, Any]
HERE: Final = Path(__file__).parent

_REPO: Final = "/repos/{owner}/{repo}"
OPERATIONS: Final = {
    "/app": "get",
    "/app-manifests/{code}/conversions": "post",
    "/app/hook/config": "get",
    "/app/hook/deliveries": "get",
    "/app/hook/deliveries/{delivery_id}": "get",
    "/app/hook/deliveries/{delivery_id}/attempts": "post",
    "/app/installations": "get",
    "/app/installations/{installation_id}": "get",
    "/app/installations/{installation_id}/access_tokens": "post",
    "/installation/repositories": "get",
    "/installation/token": "delete",
    "/orgs/{org}/teams/{team_slug}": "get",
    "/rate_limit": "get",
    "/user": "get",
    "/users/{username}": "get",
    _REPO: "get",
    f"{_REPO}/installation": "get",
    f"{_REPO}/actions/jobs/{{job_id}}": "get",
    f"{_REPO}/actions/jobs/{{job_id}}/logs": "get",
    f"{_REPO}/actions/runs/{{run_id}}/rerun-failed-jobs": "post",
    f"{_REPO}/branches/{{branch}}": "get",
    f"{_REPO}/check-suites/{{check_suite_id}}": "get",
    f"{_REPO}/check-suites/{{check_suite_id}}/check-runs": "get",
    f"{_REPO}/collaborators/{{username}}/permission": "get",
    f"{_REPO}/commits": "get",
    f"{_REPO}/commits/{{commit_sha}}/pulls": "get",
    f"{_REPO}/commits/{{ref}}": "get",
    f"{_REPO}/commits/{{ref}}/check-runs": "get",
    f"{_REPO}/commits/{{ref}}/check-suites": "get",
    f"{_REPO}/commits/{{ref}}/status": "get",
    f"{_REPO}/commits/{{ref}}/statuses": "get",
    f"{_REPO}/compare/{{basehead}}": "get",
    f"{_REPO}/contents/{{path}}": "get",
    f"{_REPO}/git/blobs": "post",
    f"{_REPO}/git/blobs/{{file_sha}}": "get",
    f"{_REPO}/git/commits": "post",
    f"{_REPO}/git/commits/{{commit_sha}}": "get",
    f"{_REPO}/git/matching-refs/{{ref}}": "get",
    f"{_REPO}/git/ref/{{ref}}": "get",
    f"{_REPO}/git/refs": "post",
    f"{_REPO}/git/refs/{{ref}}": "patch delete",
    f"{_REPO}/git/trees": "post",
    f"{_REPO}/git/trees/{{tree_sha}}": "get",
    f"{_REPO}/issues": "get",
    f"{_REPO}/issues/comments": "get",
    f"{_REPO}/issues/comments/{{comment_id}}": "get patch delete",
    f"{_REPO}/issues/comments/{{comment_id}}/reactions": "get post",
    f"{_REPO}/issues/{{issue_number}}": "get",
    f"{_REPO}/issues/{{issue_number}}/comments": "get post",
    f"{_REPO}/issues/{{issue_number}}/events": "get",
    f"{_REPO}/issues/{{issue_number}}/labels": "get post",
    f"{_REPO}/issues/{{issue_number}}/labels/{{name}}": "delete",
    f"{_REPO}/issues/{{issue_number}}/reactions": "get post",
    f"{_REPO}/merges": "post",
    f"{_REPO}/pulls": "get post",
    f"{_REPO}/pulls/comments": "get",
    f"{_REPO}/pulls/comments/{{comment_id}}": "get patch",
    f"{_REPO}/pulls/comments/{{comment_id}}/reactions": "get post",
    f"{_REPO}/pulls/{{pull_number}}": "get patch",
    f"{_REPO}/pulls/{{pull_number}}/comments": "get post",
    f"{_REPO}/pulls/{{pull_number}}/comments/{{comment_id}}/replies": "post",
    f"{_REPO}/pulls/{{pull_number}}/commits": "get",
    f"{_REPO}/pulls/{{pull_number}}/files": "get",
    f"{_REPO}/pulls/{{pull_number}}/requested_reviewers": "get post",
    f"{_REPO}/pulls/{{pull_number}}/reviews": "get",
    f"{_REPO}/rules/branches/{{branch}}": "get",
    f"{_REPO}/rulesets/{{ruleset_id}}": "get",
}
"""What the product asks for, and what only tests ask the embedded GitHub for."""

EVENTS: Final = {
    "check_run": "completed",
    "check_suite": "completed requested rerequested",
    "installation": "created deleted suspend unsuspend new_permissions_accepted",
    "installation_repositories": "added removed",
    "issue_comment": "created edited deleted",
    "issues": "opened edited labeled unlabeled closed reopened deleted locked transferred",
    "ping": "",
    "pull_request": "opened edited closed reopened synchronize ready_for_review",
    "pull_request_review": "submitted",
    "pull_request_review_comment": "created",
    "push": "",
    "repository": "archived deleted renamed transferred unarchived",
    "status": "",
}

GRAPHQL_TYPES: Final = (
    *("Mutation", "Query", "CreateCommitOnBranchInput", "CreateCommitOnBranchPayload", "CommittableBranch"),
    *("CommitMessage", "FileChanges", "FileAddition", "FileDeletion", "Commit", "Ref", "Tree", "GitActor"),
    *("GitSignature", "GpgSignature", "GitObject", "Node"),
)
_MUTATIONS: Final = {"createCommitOnBranch"}

_REF: Final = re.compile(r"#/components/schemas/([\w.-]+)")
_PROSE: Final = {
    *("description", "title", "example", "examples", "default", "deprecated", "externalDocs", "readOnly"),
    *("discriminator", "xml"),
}


def translate(schema: Any) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema 2020-12."""
    if isinstance(schema, list):
        return [translate(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        schema = {key: schema[key] for key in ("$ref", "nullable") if key in schema}
    new: Json = {}
    for key, value in schema.items():
        if key == "properties":
            new[key] = {name: translate(each) for name, each in value.items()}
        elif key == "$ref":
            new[key] = _REF.sub(r"#/$defs/\1", value)
        elif key not in _PROSE and key != "nullable" and not key.startswith("x-"):
            new[key] = translate(value)
    return _or_null(new) if schema.get("nullable") else new


def _or_null(schema: Json) -> Json:
    if not isinstance(schema.get("type"), str) or {"oneOf", "anyOf", "allOf"} & schema.keys():
        return {"anyOf": [schema, {"type": "null"}]}
    values = {"enum": [*schema["enum"], None]} if None not in schema.get("enum", [None]) else {}
    return {**schema, "type": [schema["type"], "null"], **values}


def _referred(document: Any) -> set[str]:
    return set(re.findall(r'"#/\$defs/([\w.-]+)"', json.dumps(document)))


def _closure(described: Any, schemas: Json) -> Json:
    """All schemas that something described leads to."""
    found: Json = {}
    names = _referred(described)
    while names:
        name = names.pop()
        found[name] = translate(schemas[name])
        names |= _referred(found[name]) - found.keys()
    return dict(sorted(found.items()))


def _resolved(api: Json, item: Json) -> Json:
    """What a `$ref` to one of the components stands for."""
    if "$ref" not in item:
        return item
    _, _, kind, name = item["$ref"].split("/")
    return dict(api["components"][kind][name])


def _content(item: Json) -> Any:
    """The schema of a JSON body; None where there is none."""
    content = item.get("content", {})
    media = content.get("application/json") or content.get("application/scim+json")
    return None if media is None else translate(media["schema"])


def _operation(api: Json, path: str, method: str) -> Json:
    described = api["paths"][path][method]
    parameters = [_resolved(api, each) for each in described.get("parameters", [])]
    answers = {status: _resolved(api, each) for status, each in described["responses"].items()}
    return {
        "query": {each["name"]: translate(each["schema"]) for each in parameters if each["in"] == "query"},
        "body": _content(_resolved(api, described["requestBody"])) if "requestBody" in described else None,
        "answers": {status: _content(each) for status, each in answers.items()},
    }


def distil_rest(api: Json) -> Json:
    operations = {
        f"{method.upper()} {path}": _operation(api, path, method)
        for path, methods in OPERATIONS.items()
        for method in methods.split()
    }
    definitions = _closure([operations, _ERRORS], api["components"]["schemas"])
    _correct(operations, definitions)
    return {"operations": operations, "$defs": definitions}


def _correct(operations: Json, definitions: Json) -> None:
    """Put right what GitHub publishes and does not do."""
    # An account would have to be a user and an enterprise at once here; `installation` has it right.
    operations["GET /app/installations"]["answers"]["200"]["items"] = {"$ref": "#/$defs/installation"}
    # A label without a description has null everywhere, in this list too.
    label = definitions["pull-request-simple"]["properties"]["labels"]["items"]
    label["properties"]["description"] = {"type": ["string", "null"]}
    # "You cannot change a check run conclusion to `stale`, only GitHub can set this", and GitHub does.
    definitions["check-run"]["properties"]["conclusion"]["enum"].append("stale")


_ERRORS: Final = [
    {"$ref": f"#/$defs/{name}"} for name in ("basic-error", "validation-error", "validation-error-simple")
]


def distil_webhooks(api: Json) -> Json:
    payloads = {}
    for event, actions in EVENTS.items():
        for name in [f"{event}.{action}" for action in actions.split()] or [event]:
            described = api["x-webhooks"][re.sub(r"[._]", "-", name)]["post"]
            payloads[name] = _content(described["requestBody"])
    return {"payloads": payloads, "$defs": _closure(payloads, api["components"]["schemas"])}


# ---------------------------------------------------------------------------------------------------------- GraphQL


def _named(node: TypeNode) -> str:
    while not isinstance(node, NamedTypeNode):
        node = node.type  # type: ignore[attr-defined]
    return node.name.value


def distil_graphql(text: str) -> str:
    """The types above, with fields that lead to one another or to a scalar or an enum."""
    nodes: Json = {node.name.value: node for node in parse(text, no_location=True).definitions if hasattr(node, "name")}
    leaves = {
        name for name, node in nodes.items() if isinstance(node, ScalarTypeDefinitionNode | EnumTypeDefinitionNode)
    } | {"String", "Int", "Float", "Boolean", "ID"}
    kept, used = set(GRAPHQL_TYPES), set()
    definitions = []
    for name in GRAPHQL_TYPES:
        node = nodes[name]
        fields = [each for each in node.fields or () if _is_kept(name, each, kept | leaves)]
        used |= {_named(each.type) for each in fields} & leaves
        used |= {
            _named(argument.type) for each in fields for argument in (getattr(each, "arguments", None) or ())
        } & leaves
        new = replace(_plain(node), fields=tuple(_plain(each) for each in fields))
        if isinstance(new, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
            new = replace(new, interfaces=tuple(each for each in node.interfaces or () if each.name.value in kept))
        definitions.append(new)
    definitions += [_plain(nodes[name]) for name in sorted(used) if name in nodes]
    return print_ast(DocumentNode(definitions=tuple(definitions))) + "\n"


def _is_kept(owner: str, each: Any, known: set[str]) -> bool:
    if owner == "Mutation":
        return each.name.value in _MUTATIONS
    arguments = getattr(each, "arguments", None) or ()
    return {_named(each.type), *(_named(argument.type) for argument in arguments)} <= known


def _plain(node: Any) -> Any:
    """A definition without prose and directives."""
    parts = {
        part: tuple(map(_plain, getattr(node, part) or ())) for part in ("arguments", "values") if hasattr(node, part)
    }
    return replace(node, description=None, directives=(), **parts)


def _write(name: str, document: Json, source: str) -> None:
    """One entry a line, so that a newer version's differences can be read."""
    parts = [f'"source": {json.dumps(source)}']
    for key, entries in document.items():
        lines = ",\n".join(
            f"{json.dumps(each)}: {json.dumps(entry, sort_keys=True)}" for each, entry in entries.items()
        )
        parts.append(f"{json.dumps(key)}: {{\n{lines}\n}}")
    (HERE / name).write_text("{" + ",\n".join(parts) + "}\n", "utf-8")


def main(folder: Path) -> None:
    packages = folder / "node_modules" / "@octokit"
    versions = {
        name: json.loads((packages / name / "package.json").read_text("utf-8"))["version"]
        for name in ("openapi", "graphql-schema")
    }
    api = json.loads((packages / "openapi" / "generated" / "api.github.com.json").read_text("utf-8"))
    source = f"@octokit/openapi {versions['openapi']}, MIT, see LICENSE"
    _write("rest.json", distil_rest(api), source)
    _write("webhooks.json", distil_webhooks(api), source)
    schema = distil_graphql((packages / "graphql-schema" / "schema.graphql").read_text("utf-8"))
    head = f"# @octokit/graphql-schema {versions['graphql-schema']}, MIT, see LICENSE\n\n"
    (HERE / "schema.graphql").write_text(head + schema, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
