"""What a proxy in front of the receiver has to be told, as the Caddyfile and docs/deployment.md have it."""

from __future__ import annotations

import re

import pytest
import yaml

from bridge.settings import Settings
from bridge.vault.encryption import make_key
from bridge.web import gunicorn_worker
from tests import ROOT
from tests.support.gunicorn_settings import gunicorn_setting

CADDYFILE = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text()
GUIDE = (ROOT / "docs" / "deployment.md").read_text()
MAX_BODY_BYTES = Settings(secret_key=make_key()).max_body_bytes
GIVES_UP_AFTER = 60  # seconds: wp_safe_remote_request in WC_Webhook::deliver
UNITS = {"": 1, "k": 2**10, "m": 2**20, "KB": 10**3, "MB": 10**6}


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w*)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def caddy(option: str) -> str:
    [value] = re.findall(rf"^\s+{option} (\S+)$", CADDYFILE, re.MULTILINE)
    return str(value)


def nginx(directive: str) -> str:
    """What the guide's nginx has for it."""
    [block] = re.findall(r"^    location /webhooks/ \{\n(?:        .*\n)+    \}$", GUIDE, re.MULTILINE)
    [value] = re.findall(rf"^        {directive} (.*);", block, re.MULTILINE)
    return str(value)


def traefik(option: str) -> str:
    [value] = re.findall(rf"`[\w.]*\b{option}[:=] ?([\w.]+)`", GUIDE)
    return str(value)


@pytest.mark.parametrize(
    "limit",
    [
        caddy("max_size"),
        caddy("request_buffers"),
        nginx("client_max_body_size"),
        traefik("maxRequestBodyBytes"),
    ],
)
def test_a_body_that_the_receiver_takes_passes_every_proxy(limit: str) -> None:
    assert size(limit) > MAX_BODY_BYTES


def test_a_proxy_refuses_a_head_that_the_receiver_would() -> None:
    for limit in (caddy("max_header_size"), traefik("maxHeaderBytes")):
        assert size(limit) <= gunicorn_setting("limit_request_field_size") + 2


def test_a_proxy_gives_a_slow_shop_as_long_as_the_receiver_does_and_not_longer_than_it_waits() -> None:
    receiver = gunicorn_worker.HEAD_WITHIN + gunicorn_worker.BODY_WITHIN
    for seconds in (caddy("read_body"), traefik("readTimeout")):
        assert receiver < int(seconds.removesuffix("s")) <= GIVES_UP_AFTER
    assert int(nginx("proxy_read_timeout").removesuffix("s")) >= GIVES_UP_AFTER - receiver


def test_nginx_hands_over_whole_requests_to_the_address_as_it_was_asked_for() -> None:
    assert nginx("proxy_request_buffering") == "on"
    assert re.fullmatch(
        r"http://[\w.]+:8080", nginx("proxy_pass")
    )  # a path would take the place of the URL's


def test_compose_has_a_caddy_that_is_new_enough() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    version = compose["services"]["caddy"]["image"].removeprefix("caddy:")
    assert f"Caddy {version} or newer" in GUIDE
    assert f"{version} or newer" in CADDYFILE
