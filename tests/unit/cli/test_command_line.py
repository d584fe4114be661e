"""What all commands have in common."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bridge.cli.command import COMMANDS, cli
from bridge.cli.groups import data_dir
from bridge.cli.starting import await_server, await_start
from bridge.data_folder import is_up
from bridge.embedded.folder_lock import folder_lock
from tests.support.servers import free_port

AT_NO_LEDGER = {("sandbox",), ("keys", "make")}


def leaves(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield (*path, name), command


def test_each_command_that_looks_at_a_ledger_takes_its_folder_once() -> None:
    for path, command in [*leaves(cli), *leaves(cli)]:
        taken = sum("--data-dir" in parameter.opts for parameter in command.params)
        assert taken == (path not in AT_NO_LEDGER), path


def test_the_overview_says_of_each_command_how_its_own_help_begins() -> None:
    for name, summary in COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert (command.help or "").startswith(summary.removesuffix("."))


def test_a_folder_that_one_command_was_given_is_not_the_next_ones() -> None:
    for arguments, folder in ((["--data-dir", "x"], Path("x")), ([], None)):
        command = cli.get_command(click.Context(cli), "doctor")
        assert command is not None
        with command.make_context("doctor", list(arguments)):
            assert data_dir() == folder
    assert data_dir() is None


def test_what_is_there_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    await_start(lambda: True, "waiting")
    assert capsys.readouterr().err == ""


def test_what_does_not_come_is_waited_for_no_longer_than_it_may_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await_start(lambda: False, "waiting", grace=0.1)
    assert capsys.readouterr().err == "waiting\n"


def test_what_is_seen_to_start_is_waited_for_beyond_the_grace() -> None:
    answers = iter([False, False, False, True])
    await_start(lambda: next(answers), "waiting", grace=0, is_starting=lambda: True)
    assert list(answers) == []


def test_what_ends_as_it_starts_is_waited_for_no_longer() -> None:
    starting = iter([True, True, False])
    await_start(lambda: False, "waiting", grace=0, is_starting=lambda: next(starting))
    assert list(starting) == []


@pytest.mark.parametrize("url", ["https://127.0.0.1:{}/v1", "http://192.0.2.1:{}", "http://x:y", "", "x"])
def test_only_a_plain_address_of_this_machine_is_waited_for(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await_server(url.format(free_port()))
    assert capsys.readouterr().err == ""


def test_an_up_is_not_refused_since_a_command_looks_whether_one_runs(tmp_path: Path) -> None:
    stopped = threading.Event()

    def look() -> None:
        while not stopped.is_set():
            is_up(tmp_path)

    (tmp_path / "up.lock").touch()
    lookers = [threading.Thread(target=look) for _ in range(4)]
    for one in lookers:
        one.start()
    try:
        for _ in range(50):
            with folder_lock(tmp_path):
                assert is_up(tmp_path)
    finally:
        stopped.set()
        for one in lookers:
            one.join()
