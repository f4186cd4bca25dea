"""Prices without a network."""

import subprocess
import sys

import pytest

from app.adapters.model.client import OPENAI_URL, is_openai
from app.adapters.model.prices import price
from app.core.conversation import Usage

USAGE = Usage(1_000_000, 0, 1_000_000)


def test_a_known_model_has_a_price() -> None:
    assert price("gpt-5-mini", USAGE, OPENAI_URL) == pytest.approx(0.25 + 2)


def test_cached_tokens_are_cheaper() -> None:
    cached = price("gpt-5-mini", Usage(1_000_000, 900_000, 0), OPENAI_URL)

    assert cached == pytest.approx(0.025 + 0.9 * 0.025)


def test_a_proxy_of_one_s_own_is_priced_by_the_model_s_name() -> None:
    assert price("openai/gpt-5-mini", USAGE, "http://127.0.0.1:4000/v1") == pytest.approx(0.25 + 2)


@pytest.mark.parametrize("model", ["home-grown", "", "vendor/home-grown"])
def test_an_unknown_model_has_none(model: str) -> None:
    assert price(model, USAGE, "http://127.0.0.1:11434/v1") is None


def test_the_price_list_is_not_loaded_before_there_is_something_to_price() -> None:
    code = "import sys, app.adapters.model.chat; sys.exit('genai_prices' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


@pytest.mark.parametrize(
    ("url", "own"),
    [
        (OPENAI_URL, True),
        ("https://eu.api.openai.com/v1", True),
        ("https://me.openai.azure.com/openai/v1", True),
        ("https://openrouter.ai/api/v1", False),
        ("https://evilopenai.com/v1", False),
        ("http://127.0.0.1:11434/v1", False),
    ],
)
def test_openai_is_known_by_its_address(url: str, own: bool) -> None:
    assert is_openai(url) is own
