import pytest

from app.core.addresses import can_reach, is_loopback


@pytest.mark.parametrize(
    ("github_url", "url", "expected"),
    [
        ("https://github.com", "https://bot.example", True),
        ("https://github.com", "http://127.0.0.1:8000", False),
        ("https://github.com", "http://localhost:8000", False),
        ("https://github.com", "http://0.0.0.0:8000", False),
        ("https://github.com", "http://[::1]:8000", False),
        ("https://github.com", "http://10.1.2.3", False),
        ("https://github.com", "http://bot.internal", False),
        ("https://github.com", "http://bot", False),
        ("https://github.com", "nonsense", False),
        ("https://git.acme.example", "http://10.1.2.3", True),
        ("https://git.acme.example", "http://bot", True),
        ("https://git.acme.example", "http://127.0.0.1:8000", False),
        ("http://127.0.0.1:9000", "http://localhost:8000", True),
    ],
)
def test_what_github_can_reach(github_url: str, url: str, expected: bool) -> None:
    assert can_reach(github_url, url) is expected


def test_a_name_is_not_looked_up() -> None:
    assert not is_loopback("https://loopback.example")
    assert is_loopback("http://me.localhost:1")
