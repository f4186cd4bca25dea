"""What a job needs that is real from delivery to pull request: GitHub and a model on loopback, and our settings."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app import wiring
from app.core.ports.store import Store
from app.core.run.run import Run, Status
from app.demo.github.server import DemoGitHub
from app.demo.loopback import free_port
from app.demo.model.scripted import ScriptedModel

SECRET = "an-unguessable-webhook-secret"


@dataclass(frozen=True, slots=True)
class Outside:
    """GitHub and the model, and the settings that make our programs talk with them."""

    github: DemoGitHub
    model: ScriptedModel
    environ: Mapping[str, str]


@asynccontextmanager
async def open_outside(folder: Path) -> AsyncIterator[Outside]:
    """Everything that is not ours. No program of ours is started."""
    async with AsyncExitStack() as stack:
        github = await stack.enter_async_context(DemoGitHub(folder / "github", webhook_secret=SECRET))
        model = await stack.enter_async_context(ScriptedModel())
        port = free_port()
        github.webhook_url = f"http://127.0.0.1:{port}/webhook"
        environ = {
            "GITHUB_APP_ID": "1",
            "GITHUB_PRIVATE_KEY": github.private_key_pem,
            "GITHUB_WEBHOOK_SECRET": SECRET,
            "GITHUB_URL": github.url,
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "sk-scripted-model-key-for-tests",
            "MODEL_API": "responses",
            "MODEL": "scripted",
            "DATA_DIR": str(folder / "data"),
            "PORT": str(port),
            "SANDBOX": "unisolated" if wiring.why_not_isolated() else "local",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "DRAIN_SECONDS": "0",
        }
        yield Outside(github, model, environ)


async def ended(store: Store) -> Run:
    """The newest run, once it has ended."""
    newest = (await store.list(limit=1)).runs[0]
    async for run in store.follow(newest.id):
        if run.status is Status.COMPLETED:
            return run
    raise RuntimeError(f"{newest.id} is gone.")
