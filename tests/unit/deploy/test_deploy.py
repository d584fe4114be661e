"""The files under deploy/ say what the commands understand."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import click

from bridge.cli.command import cli
from bridge.cli.groups import data_dir
from bridge.cli.up import up
from tests import ROOT

UNIT = ROOT / "deploy" / "spacebridge.service"


def test_the_systemd_unit_starts_a_command_that_there_is() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.read(UNIT)
    program, command, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program == "spacebridge"
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    context = found.make_context(command, arguments)
    with context:
        assert data_dir() == Path("${STATE_DIRECTORY}")
    assert int(unit["Service"]["TimeoutStopSec"]) > 90 + 35 + 35  # what the parts may take, one after another


def test_the_systemd_socket_is_one_tcp_port_for_the_unit_of_its_name() -> None:
    socket = configparser.ConfigParser(interpolation=None, strict=True)
    socket.read(UNIT.with_suffix(".socket"))
    host, _, port = socket["Socket"]["ListenStream"].rpartition(":")
    defaults = {parameter.name: parameter.default for parameter in up.params}
    assert (host, int(port)) == (defaults["host"], defaults["port"])


def test_what_the_systemd_unit_makes_is_its_users_alone() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.read(UNIT)
    assert unit["Service"]["UMask"] == "0077"
    assert unit["Service"]["StateDirectoryMode"] == "0700"
