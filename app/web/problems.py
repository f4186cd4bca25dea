"""Errors as RFC 9457 problem documents (https://www.rfc-editor.org/rfc/rfc9457)."""

from collections.abc import Mapping

from starlette.responses import JSONResponse, Response


def problem(
    status: int, title: str, *, detail: str = "", type: str = "about:blank", headers: Mapping[str, str] | None = None
) -> Response:
    """A problem document. `title` is the same for every problem of its kind; `detail` is about this one."""
    document = {"type": type, "title": title, "status": status, "detail": detail}
    return JSONResponse(
        {key: value for key, value in document.items() if value != ""},
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )
