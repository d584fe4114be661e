"""What the shop says about itself: the index of its API, and the status of the system."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from bridge.sandbox.shop.book import Settings

_ROUTES = 1_200  # with each of them, the index is as large as a real shop's, 1.2 MB


def index(settings: Settings) -> dict[str, Any]:
    """The index at `/wp-json/`, which needs no key."""
    offset = datetime.now(ZoneInfo(settings.zone)).utcoffset()
    return {
        "name": "Sandbox shop",
        "description": "",
        "url": settings.home,
        "home": settings.home,
        "gmt_offset": str(int(offset.total_seconds() // 3600) if offset else 0),
        "timezone_string": settings.zone,
        "page_for_posts": 0,
        "page_on_front": 0,
        "show_on_front": "posts",
        "namespaces": ["oembed/1.0", "wc/v1", "wc/v2", "wc/v3", "wc-analytics", "wp/v2"],
        "authentication": {},
        "routes": _routes(),
        "site_logo": 0,
        "site_icon": 0,
        "site_icon_url": "",
        "_links": {"help": [{"href": "https://developer.wordpress.org/rest-api/"}]},
    }


def system_status(settings: Settings) -> dict[str, Any]:
    """`GET /wc/v3/system_status`, as far as a client may want it."""
    return {
        "environment": {
            "home_url": settings.home,
            "site_url": settings.home,
            "version": settings.version,
            "wp_version": "6.9",
            "wp_multisite": False,
            "wp_memory_limit": 268435456,
            "wp_debug_mode": False,
            "wp_cron": True,
            "language": "sl_SI",
            "server_info": "the stand-in of Spacebridge",
            "php_version": "8.3.6",
        },
        "database": {"wc_database_version": settings.version, "database_prefix": "wp_"},
        "active_plugins": [],
        "inactive_plugins": [],
        "theme": {"name": "Storefront", "version": "4.6.0"},
        "settings": {
            "api_enabled": False,
            "force_ssl": settings.https == "known",
            "currency": "EUR",
            "currency_symbol": "\u20ac",
            "HPOS_enabled": settings.is_hpos,
            "HPOS_sync_enabled": False,
        },
        "security": {"secure_connection": settings.https == "known", "hide_errors": True},
    }


@cache
def _routes() -> dict[str, Any]:
    arguments = {
        "context": {"description": "Scope under which the request is made. " * 5, "type": "string"},
        "page": {"description": "Current page of the collection. " * 8, "type": "integer", "default": 1},
        "search": {"description": "Limit results to those matching a string. " * 5, "type": "string"},
    }
    endpoints = [{"methods": ["GET"], "allow_batch": {"v1": True}, "args": arguments}]
    named = {f"/wc/v3/{name}": {"namespace": "wc/v3", "methods": ["GET"]} for name in ("orders", "refunds")}
    filling = {
        f"/wc/v3/stand-in/{number}": {"namespace": "wc/v3", "methods": ["GET"], "endpoints": endpoints}
        for number in range(_ROUTES)
    }
    return named | filling
