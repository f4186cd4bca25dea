"""The pages, as HTML. Each is drawn from documents of the status API and holds nothing that is not in them."""

from collections.abc import Mapping, Sequence
from json import dumps
from typing import TypeAlias

from app.text.render import render

Document: TypeAlias = Mapping[str, object]


def render_run(run: Document, activities: Sequence[Document], *, events: str, json: str) -> str:
    """One run, live. `activities` oldest first; `events` is its stream's path, empty when the run is over; `json` the
    path of the document itself."""
    return render("page/run.j2", run=run, activities=activities[::-1], events=events, json=json)


def render_list(jobs: Sequence[Document], *, cursor: str, repo: str, status: str) -> str:
    """A page of the operator's list. `repo` and `status` are the filter in use, empty for none."""
    return render("page/list.j2", jobs=jobs, cursor=cursor, repo=repo, status=status)


def render_sign_in(*, back: str, trouble: str = "") -> str:
    """The operator's sign-in page. `back` is the path to go to afterwards."""
    return render("page/sign_in.j2", back=back, trouble=trouble)


def render_problem(title: str, detail: str) -> str:
    """An error, for a person."""
    return render("page/problem.j2", title=title, detail=detail)


def render_docs(api: Document) -> str:
    """The status API, from its OpenAPI document."""
    return render("page/docs.j2", api=api)


def render_setup(manifest: Document, *, action: str, key: str, org: str, unreachable: str = "") -> str:
    """The form that makes the App. `action` is where GitHub takes manifests, `key` what opened the page; `unreachable`
    the webhook's address when GitHub cannot reach it."""
    return render(
        "page/setup.j2",
        action=action,
        manifest=dumps(manifest),
        permissions=manifest["default_permissions"],
        events=manifest["default_events"],
        key=key,
        org=org,
        unreachable=unreachable,
    )


def render_setup_done(*, slug: str, install_url: str, needs_restart: bool) -> str:
    """The App is made; what to do next."""
    return render("page/setup_done.j2", slug=slug, install_url=install_url, needs_restart=needs_restart)
