import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.core.run.links import key_of, opens, opens_setup, page_url, setup_url

SECRET = SecretStr("secret")


def test_both_forms_of_an_id_have_one_key() -> None:
    assert key_of(SECRET, "acme/greeter#12:comment:99") == key_of(SECRET, "acme~greeter~12~comment~99")


@pytest.mark.parametrize("public_url", ["https://bot.example", "https://bot.example/"])
def test_a_page_url_carries_the_key(public_url: str) -> None:
    url = page_url(public_url, SECRET, "acme/greeter#12:comment:99")
    path, _, key = url.partition("?key=")
    assert path == "https://bot.example/jobs/acme~greeter~12~comment~99"
    assert opens(SECRET, "acme~greeter~12~comment~99", key)


@given(st.text())
def test_no_other_text_opens_a_run(key: str) -> None:
    assert opens(SECRET, "a~b~1", key) == (key == key_of(SECRET, "a~b~1"))


def test_an_empty_secret_opens_nothing() -> None:
    assert not opens(SecretStr(""), "a~b~1", "")
    assert not opens_setup(SecretStr(""), "")


def test_a_runs_key_does_not_open_the_set_up() -> None:
    key = setup_url("", SECRET).partition("?key=")[2]
    assert opens_setup(SECRET, key)
    assert not opens_setup(SECRET, key_of(SECRET, ""))
    assert not opens_setup(SECRET, key_of(SECRET, "setup"))
    assert not opens(SECRET, "", key)


def test_a_key_is_not_taken_for_a_token_by_its_letters() -> None:
    assert set(key_of(SECRET, "a~b~1")) <= set("0123456789abcdef")
