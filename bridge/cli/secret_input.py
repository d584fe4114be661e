"""Reads secrets from files, standard input or a prompt; its messages do not quote them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import click

from bridge.admin import RefusedError
from bridge.cli.terminal import fail
from bridge.settings import read_value_file
from bridge.shop import ShopKeys
from bridge.web.signature import unescape

TOKEN_FILE_OPTION = click.option(
    "--token-file", metavar="FILE", help="A file with the access token, or - for standard input."
)
WEBHOOK_SECRET_FILE_OPTION = click.option(
    "--webhook-secret-file", metavar="FILE", help="A file with the webhook's secret, or -."
)
KEY_FILE_OPTION = click.option(
    "--key-file",
    metavar="FILE",
    help="A file with the shop's consumer key and consumer secret, or - for standard input.",
)
_MOST_OF_KEYS = 16 * 2**10  # bytes of standard input
# As WooCommerce makes them (wc_rand_hash), on two lines or in JSON.
_CONSUMER_KEY, _CONSUMER_SECRET = re.compile(r"\bck_[0-9a-zA-Z]+"), re.compile(r"\bcs_[0-9a-zA-Z]+")
# What WooCommerce's settings page changes in a secret as it saves it (WordPress' sanitize_text_field).
_CHANGED_BY_WORDPRESS = re.compile(r"<|%[0-9a-fA-F]{2}|^\s|\s$|\s\s|[\t\r\n]")


def read_token(file: str | None) -> str:
    """The token in a file or on standard input (`-`), or typed; raises RefusedError if it is no token."""
    return checked_token(_read("--token-file", file) if file else _ask_for_token())


def read_webhook_secret(file: str) -> str:
    """The webhook secret in a file or on standard input (`-`); raises RefusedError if it is none."""
    return checked_webhook_secret(_read("--webhook-secret-file", file))


def read_shop_keys(file: str) -> ShopKeys:
    """The consumer key and its secret in a file or on standard input (`-`), on two lines or in JSON.

    Raises RefusedError if it has none, or several.
    """
    option = "--key-file"
    text = _read_all(option) if file == "-" else read_value_file(option, Path(file))
    keys, secrets = set(_CONSUMER_KEY.findall(text)), set(_CONSUMER_SECRET.findall(text))
    if len(keys) != 1 or len(secrets) != 1:
        raise RefusedError(
            f"{option} {file} is to hold one consumer key (ck_...) and one consumer secret (cs_...), on a "
            "line each or in JSON: WooCommerce shows both, once, under Settings > Advanced > REST API."
        )
    return ShopKeys(keys.pop(), secrets.pop())


def read_database_url(option: str, file: str) -> str:
    """The URL of a database, which may hold a password, in a file or on standard input (`-`)."""
    return _read(option, file).strip()


def checked_token(token: str) -> str:
    """The token without space around it; raises RefusedError."""
    token = token.strip()
    if not token or not (token.isascii() and token.isprintable() and " " not in token):
        raise RefusedError(
            "The access token is not one: it is empty, or has characters that no header can carry. "
            "Copy it once more."
        )
    return token


def checked_webhook_secret(secret: str) -> str:
    """The secret as it is; raises RefusedError. Warns of a secret that WooCommerce would change."""
    if not unescape(secret).strip():
        raise RefusedError(
            "The webhook secret is empty, and anyone could sign with it: set one in WooCommerce."
        )
    if _CHANGED_BY_WORDPRESS.search(secret):
        click.echo(
            "WooCommerce's settings page changes such a secret as it saves it: it drops tags and % codes, "
            "and trims spaces. If deliveries are refused, use one of letters and digits.",
            err=True,
        )
    return secret


def _ask_for_token() -> str:
    if not (sys.stdin and sys.stdin.isatty()):  # None if it was closed
        fail("No token is given: use --token-file FILE, or --token-file - to read it from standard input.")
    token: str = click.prompt("Space Invoices access token", hide_input=True, err=True)
    return token


def _read(option: str, file: str) -> str:
    text = _read_line(option) if file == "-" else read_value_file(option, Path(file))
    if not text.strip():
        fail(f"{option} {file} holds nothing: give a file with the value in it.")
    return text


def _read_line(option: str) -> str:
    return _read_input(option, lambda stream: stream.readline()).rstrip("\r\n")


def _read_all(option: str) -> str:
    return _read_input(option, lambda stream: stream.read(_MOST_OF_KEYS))


def _read_input(option: str, read: Callable[[BinaryIO], bytes]) -> str:
    if sys.stdin is None:
        fail(f"{option} -: standard input is closed. Give a file, or pipe the value in.")
    try:
        return read(sys.stdin.buffer).decode("utf-8-sig")
    except UnicodeDecodeError:
        fail(f"{option} -: what standard input gives is not UTF-8 text.")
