import pytest
from starlette.types import Scope

from app.web.limits import Buckets, origin_of


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a:b:nonsense", "a:b:nonsense"),
        ("x" * 1_000, "x" * 64),
    ],
)
def test_an_ipv6_host_counts_with_the_net_it_chooses_its_addresses_from(host: str, origin: str) -> None:
    scope: Scope = {"client": (host, 1)}
    assert origin_of(scope) == origin


def test_who_has_no_address_counts_as_one() -> None:
    scope: Scope = {"client": None}
    assert origin_of(scope) == ""


def test_a_bucket_fills_again_and_never_over() -> None:
    buckets = Buckets(rate=0.5, burst=2)
    assert [buckets.take("a", 0), buckets.take("a", 0), buckets.take("a", 0)] == [0, 0, 2]
    assert buckets.take("b", 0) == 0
    assert buckets.take("a", 2) == 0
    assert [buckets.take("a", 1_000), buckets.take("a", 1_000), buckets.take("a", 1_000)] == [0, 0, 2]
