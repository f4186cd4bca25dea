"""Templates to text. Each is Jinja with StrictUndefined and opens with a comment: purpose and typed variables.

Only pages (`page/…`) are escaped as HTML; the rest is Markdown or plain words.
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("app.text", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        autoescape=lambda name: name is not None and name.startswith("page/"),  # noqa: S701
    )
    environment.filters["money"] = lambda usd: f"${usd:.2f}" if usd >= 0.01 or usd == 0 else f"${usd:.4f}"
    return environment


def render(template: str, **variables: object) -> str:
    """Render `templates/<template>`; a missing variable is an error, a superfluous one is not."""
    return _environment().get_template(template).render(**variables).strip() + "\n"
