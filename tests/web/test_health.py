import asyncio

from pydantic import SecretStr

from app.web.app import WebOptions
from tests.web.sample import queued
from tests.web.site import Site


async def test_a_process_lives_though_its_store_is_away() -> None:
    site = Site()
    site.store.is_away = True
    answer = await site.ask("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_means_that_the_store_answers() -> None:
    site = Site()
    assert (await site.ask("/readyz")).status_code == 200
    site.store.is_away = True
    answer = await site.ask("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_frozen_store_is_not_ready_after_a_second() -> None:
    site = Site()
    asked = asyncio.get_running_loop().time()
    site.store.is_frozen = True
    assert (await site.ask("/readyz")).status_code == 503
    assert 0.9 < asyncio.get_running_loop().time() - asked < 3


async def test_metrics_are_the_operators_and_count_what_waits() -> None:
    site = Site()
    await site.has(queued())
    assert (await site.ask("/metrics")).status_code == 401
    answer = await site.read("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "vibecoder_queue_depth 1\n" in answer.text
    assert "vibecoder_workers 0\n" in answer.text
    assert "vibecoder_workers_disk_full 0\n" in answer.text
    assert "vibecoder_open_streams 0\n" in answer.text


async def test_probes_are_not_counted_against_an_address() -> None:
    site = Site()
    assert {(await site.ask("/healthz")).status_code for _ in range(300)} == {200}


async def test_the_webhook_is_open_once_there_is_a_secret() -> None:
    assert (await Site().ask("/webhook", method="POST", content=b"{}")).status_code == 404
    ready = Site(WebOptions(webhook_secrets=(SecretStr("a webhook secret"),), burst=1))
    codes = {(await ready.ask("/webhook", method="POST", content=b"{}")).status_code for _ in range(3)}
    assert codes == {401}
