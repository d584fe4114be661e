"""Known stores: as they were looked up last, and no more of them than may be."""

from __future__ import annotations

from bridge.ledger.recording import CachedStore
from bridge.web.store_cache import StoreCache


def store(name: str, secret: str = "") -> CachedStore:
    return CachedStore(
        id=1, name=name, shop_urls=frozenset(), encrypted_secret=f"encrypted {secret}", secret=secret
    )


def test_a_store_is_known_as_it_was_looked_up_last_until_it_is_forgotten() -> None:
    known = StoreCache()
    assert known.get("shop") is None
    known.keep(store("shop", "old"))
    known.keep(store("shop", "new"))
    assert known.get("shop") == store("shop", "new")
    assert known.get("another") is None
    known.forget("shop")
    known.forget("shop")
    assert known.get("shop") is None


def test_of_more_stores_than_may_be_known_those_looked_up_last_are() -> None:
    known = StoreCache(most=3)
    for name in ("a", "b", "c", "a", "d"):
        known.keep(store(name))
    assert [name for name in "abcd" if known.get(name)] == ["a", "c", "d"]


def test_a_known_store_does_not_show_its_secrets() -> None:
    assert "hidden" not in repr(store("shop", "hidden"))
