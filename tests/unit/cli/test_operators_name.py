"""Who types a command: the login before sudo, wherever the bridge runs."""

from __future__ import annotations

import os
import pwd
import socket

import pytest

from bridge.cli.options import operator

HOST = socket.gethostname()


@pytest.fixture(autouse=True)
def _no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)


def test_it_is_the_users_name_and_the_hosts() -> None:
    assert operator() == f"{pwd.getpwuid(os.getuid()).pw_name}@{HOST}"


def test_under_sudo_it_is_whoever_called_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    assert operator() == f"anna@{HOST}"


def test_an_empty_sudo_user_counts_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "")
    assert operator() == f"{pwd.getpwuid(os.getuid()).pw_name}@{HOST}"


def test_a_user_without_a_name_goes_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = next(number for number in range(2_000_000_000, 2_000_001_000) if not _has_name(number))
    monkeypatch.setattr(os, "getuid", lambda: nobody)
    assert operator() == f"uid {nobody}@{HOST}"


def test_a_given_name_stands_before_the_login_and_does_not_hide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    assert operator("Anna Å.") == f"Anna Å. (anna@{HOST})"


@pytest.mark.parametrize("odd", ["a" * 10_000, "\x1b[2J\n\t", "\udcff\udcfe", "\u202etxt"])
def test_whatever_it_is_called_it_can_be_printed_and_is_short(
    monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    monkeypatch.setenv("SUDO_USER", odd)
    name = operator(odd)
    assert name.isprintable()
    assert len(name) < 200


def _has_name(number: int) -> bool:
    try:
        pwd.getpwuid(number)
    except KeyError:
        return False
    return True
