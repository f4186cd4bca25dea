"""The model, as a port."""

from collections.abc import Sequence
from typing import Protocol

from app.core.conversation import Conversation, Reply, ToolSpec


class Model(Protocol):
    """A model's server."""

    async def reply(
        self,
        conversation: Conversation,
        tools: Sequence[ToolSpec],
        *,
        model: str = "",
        max_output_tokens: int = 16_384,
        cache_key: str = "",
    ) -> Reply:
        """One turn. `model` empty takes the deployment's; `cache_key` groups turns that share a prefix.

        Repeatable, at a price: each call is paid.

        Raises:
            ModelError: refused, away, or an answer with neither words nor calls, after the adapter's own retries.
        """
