"""The deployment's settings, read from the environment here and nowhere else.

Every field carries its help; the README's table is generated from them (`python -m app.settings`). A secret may be
given in a file instead: `OPENAI_API_KEY_FILE=/run/secrets/openai`.
"""

import json
import os
import typing
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from app.core.errors import UserError

DATA_DIR: Final = Path(".vibecoder")
APP_FILE: Final = "app.json"
"""In `DATA_DIR`: what GitHub told of the App when `/setup` made it. The environment goes before it."""
_YES: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]


def _setting(default: Any, help_text: str, *, is_shown: bool = True) -> Any:
    return field(default=default, repr=is_shown, metadata={"help": help_text})


@dataclass(frozen=True, slots=True)
class Settings:
    """One frozen value for the whole process. A field's variable is its name in capitals."""

    github_app_id: str = _setting("", "The App's id")
    github_private_key: SecretStr = _setting(SecretStr(""), "The App's private key, PEM; needed by the worker only")
    github_webhook_secret: SecretStr = _setting(SecretStr(""), "The webhook's secret")
    github_webhook_secret_old: SecretStr = _setting(SecretStr(""), "A second valid secret, while you rotate")
    github_url: str = _setting("https://github.com", "GitHub, or your Enterprise Server")
    workflows_permission: bool = _setting(
        False,
        "Use the App's optional permission `workflows: write`: branches and merges may bring changed workflow files",
    )
    label: str = _setting("vibecode", "The label that starts a run")

    openai_api_key: SecretStr = _setting(SecretStr(""), "Key for the model's server")
    openai_base_url: str = _setting(
        "", "An OpenAI-compatible server, such as `http://localhost:11434/v1`; empty: OpenAI"
    )
    model: str = _setting("gpt-6-sol", "The model's name, as its server knows it")
    model_api: Literal["auto", "responses", "chat"] = _setting(
        "auto", "Which API to speak; `auto`: Responses to OpenAI, Chat Completions to others"
    )
    model_effort: str = _setting("", "Reasoning effort, for models that take one")

    sandbox: Literal["auto", "e2b", "local", "unisolated"] = _setting(
        "auto",
        "`auto`: E2B when `E2B_API_KEY` is set, else bubblewrap on this machine; `unisolated`: its commands run "
        "as you, without any protection",
    )
    path: str = _setting("", "The local sandbox has the tools found here, read-only")
    sandbox_share_network: bool = _setting(
        False, "Let set-up commands in the local sandbox use this machine's network, its loopback included"
    )
    e2b_api_key: SecretStr = _setting(SecretStr(""), "Key for E2B")
    e2b_template: str = _setting("base", "E2B's template")
    e2b_domain: str = _setting("", "E2B's domain, when you host it")
    e2b_api_url: str = _setting("", "E2B's API, when it is elsewhere")
    e2b_sandbox_url: str = _setting("", "E2B's sandbox daemon, when it is elsewhere")

    max_usd: float = _setting(2.0, "Dollars that one run may spend")
    max_usd_per_day: float = _setting(
        50.0, "Dollars that all runs of one installation together may spend on one day (UTC)"
    )
    runs_per_hour: int = _setting(40, "Runs that one repository may start within an hour; more looks like a loop")
    thread_runs_per_hour: int = _setting(12, "Runs that one issue or pull request may start within an hour")
    max_minutes: float = _setting(30.0, "Minutes that one run may take")
    max_turns: int = _setting(150, "Model turns that one run may take")
    max_tokens: int = _setting(4_000_000, "Tokens that one run may use, in and out")

    redis_url: str = _setting("", "Redis; empty: one is embedded, kept in `DATA_DIR`", is_shown=False)
    data_dir: Path = _setting(DATA_DIR, "Repository caches, local sandboxes, the embedded Redis")
    keep_days: int = _setting(90, "Days that a finished run is kept")
    gather_seconds: float = _setting(
        20.0, "Comments on a pull request that come within so many seconds of one another make one run"
    )
    worker_runs: int = _setting(4, "Runs that one worker carries at a time")
    runs_per_repo: int = _setting(2, "Runs that may be at work for one repository at a time, over all workers")
    runs_per_installation: int = _setting(
        8, "Runs that may be at work for one installation at a time, over all workers"
    )
    max_sandboxes: int = _setting(
        20, "Sandboxes that all runs of this deployment may have at a time, over all workers; 0: no limit"
    )
    min_free_disk_mb: int = _setting(
        512, "MiB that must be free where `DATA_DIR` is for a worker to take runs; 0: it does not look"
    )
    drain_seconds: float = _setting(
        20.0, "How long runs may go on after SIGTERM before they are handed back to the queue"
    )
    job_timeout_minutes: int = _setting(120, "The hard end of a job, whatever its budget")

    host: str = _setting("127.0.0.1", "Address that web listens on")
    port: int = _setting(8000, "Port that web listens on")
    public_url: str = _setting("", "How people reach web; for links in comments. Empty: `http://HOST:PORT`")
    api_token: SecretStr = _setting(SecretStr(""), "The operator's token for the status API and the list of runs")
    link_secret: SecretStr = _setting(
        SecretStr(""), "Makes the links in comments unguessable; empty: derived from the webhook's secret"
    )
    trusted_proxies: Networks = _setting(
        (), "Addresses or networks of the proxies before web, by comma: their `X-Forwarded-For` says who asks"
    )
    jobs_per_minute: int = _setting(
        60,
        "Jobs that one installation may ask web for; one person may ask for a sixth of it, all people without a role "
        "together for another sixth. GitHub is asked again for what was more",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "How much is logged")

    secret_files: tuple[Path, ...] = field(default=(), repr=False)
    """Where secrets were read from; no setting of its own."""

    def without_private_key(self) -> "Settings":
        """The settings as far as web may know them: only a worker speaks with GitHub as the App."""
        return replace(self, github_private_key=SecretStr(""))

    @property
    def webhook_secrets(self) -> tuple[SecretStr, ...]:
        """The valid ones; empty when none is set."""
        return tuple(s for s in (self.github_webhook_secret, self.github_webhook_secret_old) if s.get_secret_value())

    @property
    def app_lacks(self) -> tuple[str, ...]:
        """The variables of the App that are not set; all three before it is made."""
        found = {
            "GITHUB_APP_ID": self.github_app_id,
            "GITHUB_PRIVATE_KEY": self.github_private_key.get_secret_value(),
            "GITHUB_WEBHOOK_SECRET": self.github_webhook_secret.get_secret_value(),
        }
        return tuple(name for name, value in found.items() if not value)

    @property
    def has_app(self) -> bool:
        """Whether anything of an App is set."""
        return len(self.app_lacks) < 3

    @property
    def page_secret(self) -> SecretStr:
        return self.link_secret if self.link_secret.get_secret_value() else self.github_webhook_secret

    @property
    def public_address(self) -> str:
        """Where people reach web, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret there is, for redaction; the password within Redis's address is one."""
        values = [getattr(self, each.name) for each in fields(self)]
        password = unquote(urlsplit(self.redis_url).password or "")
        return (*(value for value in values if isinstance(value, SecretStr)), SecretStr(password))


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; from the process's environment when none is given.

    Raises:
        UserError: with every fault, one a line.
    """
    source = os.environ if environ is None else environ
    kept = _kept(Path(source.get("DATA_DIR") or DATA_DIR) / APP_FILE)
    source = {**source, **{n: v for n, v in kept.items() if not (source.get(n) or source.get(f"{n}_FILE"))}}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for each in _settings():
        try:
            raw = _raw(each, source)
            if raw is not None:
                values[each.name] = _read(each, raw)
        except (ValueError, OSError) as error:
            faults.append(f"{each.name.upper()}: {error}")
    if faults:
        raise UserError("\n".join(faults))
    given = (source.get(f"{each.name.upper()}_FILE") for each in _settings() if each.type is SecretStr)
    return Settings(**values, secret_files=tuple(Path(path) for path in given if path))


def keep_app(settings: Settings, values: Mapping[str, str]) -> None:
    """Keep what GitHub told of the App it made, by variable, where only this account reads; `load` finds it there.

    Raises:
        UserError: it cannot be written. Nothing of it is left.
    """
    path = settings.data_dir / APP_FILE
    part = path.with_suffix(".part")
    try:
        check_may_keep(settings)
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(dict(values), file)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def check_may_keep(settings: Settings) -> None:
    """Make the data folder.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"DATA_DIR {settings.data_dir} cannot be made: {error.strerror}.") from error
    if not os.access(settings.data_dir, os.W_OK | os.X_OK):
        raise UserError(f"DATA_DIR {settings.data_dir} cannot be written to. Set another, or give it to this account.")


def _kept(path: Path) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}. Delete it and set the App up again.") from error


def _settings() -> "list[Field[Any]]":
    """The fields that are read from the environment."""
    return [each for each in fields(Settings) if "help" in each.metadata]


def _raw(each: "Field[Any]", source: Mapping[str, str]) -> str | None:
    name = each.name.upper()
    raw = source.get(name)
    if not raw and each.type is SecretStr and (path := source.get(f"{name}_FILE")):
        return Path(path).read_text("utf-8").strip()
    return raw if raw else None


def _read(each: "Field[Any]", raw: str) -> object:
    kind = each.type
    if kind is bool:
        if raw.lower() not in _YES:
            raise ValueError(f"{raw!r} is neither yes nor no")
        return _YES[raw.lower()]
    if typing.get_origin(kind) is Literal:
        if raw not in typing.get_args(kind):
            raise ValueError(f"{raw!r} is not one of {', '.join(typing.get_args(kind))}")
        return raw
    if kind in (int, float):
        try:
            value = kind(raw)
        except ValueError:
            raise ValueError(f"{raw!r} is not a number") from None
        if not value >= 0:
            raise ValueError(f"{raw!r} must not be negative")
        return value
    if kind == Networks:
        return tuple(_network(part.strip()) for part in raw.split(","))
    return SecretStr(raw) if kind is SecretStr else Path(raw) if kind is Path else raw


def _network(raw: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(raw)
    except ValueError:
        raise ValueError(f"{raw!r} is neither an address nor a network") from None
    if network.prefixlen == 0:
        raise ValueError(f"{raw!r} is everybody, so that anybody could claim any address")
    return network


def show_table() -> str:
    """The settings as a Markdown table, as the README holds it."""
    rows = ["| variable | default | |", "|---|---|---|"]
    for each in _settings():
        default = "" if isinstance(each.default, SecretStr) or each.default in ("", False, ()) else f"`{each.default}`"
        rows.append(f"| `{each.name.upper()}` | {default} | {each.metadata['help']} |")
    return "\n".join(rows) + "\n"
