"""The store cache: stores as they were read last, and no more of them than it holds."""

from __future__ import annotations

from bridge.web.store_cache import CachedStore, StoreCache


def store(name: str, secret: str = "") -> CachedStore:
    return CachedStore(
        id=1,
        name=name,
        shop_urls=(),
        encrypted_webhook_secret=f"encrypted {secret}",
        webhook_secret=secret,
    )


def test_a_store_is_cached_as_it_was_read_last_until_it_is_dropped() -> None:
    cache = StoreCache()
    assert cache.get("shop") is None
    cache.put(store("shop", "old"))
    cache.put(store("shop", "new"))
    assert cache.get("shop") == store("shop", "new")
    assert cache.get("another") is None
    cache.drop("shop")
    cache.drop("shop")
    assert cache.get("shop") is None


def test_of_more_stores_than_fit_those_read_last_are_cached() -> None:
    cache = StoreCache(capacity=3)
    for name in ("a", "b", "c", "a", "d"):
        cache.put(store(name))
    assert [name for name in "abcd" if cache.get(name)] == ["a", "c", "d"]


def test_a_cached_store_does_not_show_its_secrets() -> None:
    assert "hidden" not in repr(store("shop", "hidden"))
