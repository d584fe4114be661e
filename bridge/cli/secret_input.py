"""Reads secrets from files, standard input or a prompt; its messages do not quote them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from bridge.admin import RefusedError
from bridge.cli.terminal import fail
from bridge.settings import read_value_file
from bridge.web.signature import unescape

TOKEN_FILE_OPTION = click.option(
    "--token-file", metavar="FILE", help="A file with the access token, or - for standard input."
)
WEBHOOK_SECRET_FILE_OPTION = click.option(
    "--webhook-secret-file", metavar="FILE", help="A file with the webhook's secret, or -."
)
# What WooCommerce's settings page changes in a secret as it saves it (WordPress' sanitize_text_field).
_CHANGED_BY_WORDPRESS = re.compile(r"<|%[0-9a-fA-F]{2}|^\s|\s$|\s\s|[\t\r\n]")


def read_token(file: str | None) -> str:
    """The token in a file or on standard input (`-`), or typed; raises RefusedError if it is no token."""
    return checked_token(_read("--token-file", file) if file else _ask_for_token())


def read_webhook_secret(file: str) -> str:
    """The webhook secret in a file or on standard input (`-`); raises RefusedError if it is none."""
    return checked_webhook_secret(_read("--webhook-secret-file", file))


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
    if sys.stdin is None:
        fail(f"{option} -: standard input is closed. Give a file, or pipe the value in.")
    try:
        return sys.stdin.buffer.readline().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        fail(f"{option} -: what standard input gives is not UTF-8 text.")
