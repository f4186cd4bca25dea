import hashlib
from datetime import timedelta

import pytest
from pydantic import SecretStr

from app.core.run.links import key_of
from app.web.auth import COOKIE, KNOWN_S, SESSION, SESSION_S, Access, digest_of
from tests.web.sample import ID, at_work, ended, queued
from tests.web.site import OPERATOR, SECRET, TOKEN, HandClock, Site, bearer, key

READING = ("", "/progress", "/result", "/commits", "/events")


@pytest.mark.parametrize("view", READING)
async def test_nobody_reads_a_run(view: str) -> None:
    site = Site()
    await site.has(ended())
    answer = await site.ask(f"/api/jobs/{ID}{view}")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="vibecoder"')


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (OPERATOR, 200),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        (bearer("reader"), 200),
        (bearer("writer"), 200),
        (bearer("stranger"), 404),
        (bearer("forged"), 401),
        (bearer(""), 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        (bearer(digest_of(SecretStr(TOKEN))), 401),
    ],
)
async def test_who_reads_a_run(headers: dict[str, str], expected: int) -> None:
    site = Site()
    await site.has(ended())
    assert (await site.ask(f"/api/jobs/{ID}", headers)).status_code == expected


@pytest.mark.parametrize("view", READING)
async def test_a_link_reads_its_own_run_and_no_other(view: str) -> None:
    site = Site()
    mine, other = ended(), queued("acme~greeter~13~comment~100")
    await site.has(mine, other)
    assert (await site.ask(f"/api/jobs/{mine.id}{view}{key(mine)}")).status_code == 200
    assert (await site.ask(f"/api/jobs/{other.id}{view}{key(mine)}")).status_code == 401


async def test_a_link_does_not_write() -> None:
    site = Site()
    run = await site.begins(at_work())
    assert (await site.ask(f"/api/jobs/{ID}/stop{key(run)}", method="POST")).status_code == 401
    assert await site.store.signals(ID) == ()


async def test_who_may_not_see_a_run_cannot_tell_whether_it_is_there() -> None:
    site = Site()
    await site.has(ended())
    there = await site.ask(f"/api/jobs/{ID}", bearer("stranger"))
    away = await site.ask("/api/jobs/acme~greeter~77~comment~1", bearer("stranger"))
    elsewhere = await site.ask("/api/jobs/acme~secret~1~comment~1", bearer("writer"))
    assert there.json() == away.json() == elsewhere.json()
    assert there.status_code == 404
    forged = [await site.ask(f"/api/jobs/{name}", bearer("forged")) for name in (ID, "acme~greeter~77~comment~1")]
    assert [answer.status_code for answer in forged] == [401, 401]


@pytest.mark.parametrize("name", ["x", "~~", "acme~greeter", "acme~greeter~", "~a~b", "%00~%ff~1"])
async def test_what_is_no_id_is_not_found(name: str) -> None:
    assert (await Site().read(f"/api/jobs/{name}")).status_code == 404
    assert (await Site().ask(f"/api/jobs/{name}", bearer("reader"))).status_code == 404


@pytest.mark.parametrize(
    ("headers", "expected"),
    [(OPERATOR, 202), (bearer("writer"), 202), (bearer("reader"), 403), (bearer("stranger"), 404), ({}, 401)],
)
async def test_who_stops_a_run(headers: dict[str, str], expected: int) -> None:
    site = Site()
    await site.begins(at_work())
    assert (await site.ask(f"/api/jobs/{ID}/stop", headers, method="POST")).status_code == expected
    assert len(await site.store.signals(ID)) == (expected == 202)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [(OPERATOR, 202), (bearer("writer"), 202), (bearer("reader"), 403), (bearer("stranger"), 404), ({}, 401)],
)
@pytest.mark.parametrize("path", ["/api/jobs", "/api/plans"])
async def test_who_starts_a_job(path: str, headers: dict[str, str], expected: int) -> None:
    site = Site()
    asked = {"repo": "acme/greeter", "request": "Say hello"}
    assert (await site.ask(path, headers, method="POST", json=asked)).status_code == expected
    assert await site.queue.depth() == (expected == 202)


async def test_a_strangers_body_is_not_read() -> None:
    assert (await Site().ask("/api/jobs", method="POST", content=b"no JSON")).status_code == 401


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("", OPERATOR, 200),
        ("?repo=acme/greeter", bearer("reader"), 200),
        ("", bearer("reader"), 400),
        ("?repo=acme/secret", bearer("reader"), 404),
        ("", {}, 401),
        ("?repo=acme/greeter", {}, 401),
        ("?repo=acme/greeter", bearer("forged"), 401),
    ],
)
async def test_who_lists_runs(query: str, headers: dict[str, str], expected: int) -> None:
    assert (await Site().ask(f"/api/jobs{query}", headers)).status_code == expected


async def test_github_is_asked_about_a_token_once_a_minute() -> None:
    site = Site()
    await site.has(ended())
    for _ in range(3):
        await site.ask(f"/api/jobs/{ID}/progress", bearer("reader"))
    assert site.users.asked == 1
    await site.clock.sleep(KNOWN_S)
    await site.ask(f"/api/jobs/{ID}/progress", bearer("reader"))
    assert site.users.asked == 2


async def test_nobody_makes_us_flood_github_with_tokens() -> None:
    site = Site()
    codes = [(await site.ask(f"/api/jobs/{ID}", bearer(f"forged {n}"))).status_code for n in range(60)]
    assert (set(codes), site.users.asked) == ({401, 429}, 20)
    refused = await site.ask(f"/api/jobs/{ID}", bearer("reader"))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert (await site.ask(f"/api/jobs/{ID}", OPERATOR)).status_code == 404
    await site.clock.sleep(2)
    assert (await site.ask(f"/api/jobs/{ID}", bearer("reader"))).status_code == 404
    assert (await site.ask(f"/api/jobs/{ID}", bearer("reader"))).status_code == 404


async def test_a_role_that_was_taken_away_ends_within_a_minute() -> None:
    site = Site()
    await site.has(ended())
    assert (await site.ask(f"/api/jobs/{ID}", bearer("reader"))).status_code == 200
    site.users.roles = {}
    await site.clock.sleep(KNOWN_S)
    assert (await site.ask(f"/api/jobs/{ID}", bearer("reader"))).status_code == 401


async def test_a_cookie_reads_and_does_not_write() -> None:
    site = Site()
    await site.begins(at_work())
    cookie = {"Cookie": f"{COOKIE}={site.access.ticket(SESSION, SESSION_S)}"}
    assert (await site.ask(f"/api/jobs/{ID}", cookie)).status_code == 200
    assert (await site.ask(f"/api/jobs/{ID}/stop", cookie, method="POST")).status_code == 401


async def test_a_cookie_ends_with_its_time_and_with_its_token() -> None:
    clock = HandClock()
    access = Access(clock, SECRET, digest_of(SecretStr("one")))
    ticket = access.ticket(SESSION, 60)
    assert access.accepts_ticket(SESSION, ticket)
    assert not access.accepts_ticket("setup state", ticket)
    assert not Access(clock, SECRET, digest_of(SecretStr("two"))).accepts_ticket(SESSION, ticket)
    assert not Access(clock, SecretStr("other"), digest_of(SecretStr("one"))).accepts_ticket(SESSION, ticket)
    later = f"{int((clock.now() + timedelta(days=9)).timestamp())}.{ticket.partition('.')[2]}"
    assert not access.accepts_ticket(SESSION, later)
    await clock.sleep(60)
    assert not access.accepts_ticket(SESSION, ticket)


@pytest.mark.parametrize("ticket", ["", ".", "1", "9999999999.", "²³.x", "9" * 40 + ".x", "-1.x", "99999999999.ÿ"])
def test_a_forged_cookie_is_worth_nothing(ticket: str) -> None:
    assert not Access(HandClock(), SECRET, digest_of(SecretStr(TOKEN))).accepts_ticket(SESSION, ticket)


async def test_without_an_operators_token_nobody_is_the_operator() -> None:
    access = Access(HandClock(), SECRET)
    assert not access.knows(SecretStr(""))
    assert not access.knows(SecretStr(TOKEN))


def test_an_empty_link_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Access(HandClock(), SecretStr(""))
    with pytest.raises(ValueError, match="empty"):
        key_of(SecretStr(""), ID)


def test_a_token_is_kept_as_its_sha256() -> None:
    assert digest_of(SecretStr("abc")) == hashlib.sha256(b"abc").hexdigest()


def test_what_access_prints_holds_no_secret() -> None:
    assert SECRET.get_secret_value() not in repr(Access(HandClock(), SECRET))
