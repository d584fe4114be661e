"""The data folder and all that is in it are their user's alone, whatever the umask, however it was found."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import proc
from tests.support.running import answers, run_command
from tests.support.servers import free_port, wait_until


def modes(folder: Path) -> dict[str, int]:
    """The rights to a folder and to all that is in it, by path."""
    return {
        str(path.relative_to(folder.parent)): stat.S_IMODE(path.stat(follow_symlinks=False).st_mode)
        for path in (folder, *folder.rglob("*"))
    }


def assert_private(folder: Path) -> None:
    found = modes(folder)
    wrong = {
        name: oct(mode)
        for name, mode in found.items()
        if mode != (0o700 if (folder.parent / name).is_dir() else 0o600)
    }
    assert wrong == {}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for temporary files, with a name that leaves room for that of a socket: 100 bytes in all."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def up(data: Path, umask: int, **environment: str) -> Iterator[int]:
    """A running `spacebridge up`, started under this umask; its process id."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "up", "--port", str(port), "--data-dir", str(data)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        umask=umask,
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "a ready bridge", within=90)
        wait_until((data / "ledger.db.leader.lock").exists, "a leader", within=60)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def test_what_a_running_bridge_makes_is_its_users_alone_and_mended_at_the_next_start(
    tmp_path: Path, short_folder: Path
) -> None:
    data, temporary = tmp_path / "data", short_folder
    with up(data, 0o000, TMPDIR=str(temporary)) as pid:
        assert {"ledger.db", "ledger.db-wal", "ledger.db.lock", "secret.key", "up.lock"} <= {
            path.name for path in data.iterdir()
        }
        assert_private(data)
        # The broker's socket, and what the processes count with, in a folder of the run's own
        (run,) = temporary.glob("spacebridge-*")
        assert stat.S_IMODE(run.stat().st_mode) == 0o700
        assert any(stat.S_ISSOCK(path.stat().st_mode) for path in run.iterdir())
        others = {name: oct(mode) for name, mode in modes(run).items() if mode & 0o077}
        assert others == {}
        assert {umask_of(one) for one in (pid, *proc.children(pid))} == {0o077}
        backup = data / "ledger-of-today.db"
        made = run_command(data, "db", "backup", str(backup))
        assert made.returncode == 0, made.stderr
        assert_private(data)
    for path in (data, *data.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    with up(data, 0o022):
        assert_private(data)


def umask_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("Umask:")).split()[1], 8)


def test_a_ledger_that_is_made_or_copied_by_a_command_is_its_users_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    before = os.umask(0)
    try:
        assert run_command(data, "db", "upgrade").returncode == 0
        assert_private(data)
        for path in (data, *data.iterdir()):
            path.chmod(0o777 if path.is_dir() else 0o644)
        assert run_command(data, "db", "upgrade").returncode == 0
        assert_private(data)
        copied = run_command(data, "db", "copy", "--to-sqlite", str(tmp_path / "copy" / "ledger.db"))
        assert copied.returncode == 0, copied.stderr
    finally:
        os.umask(before)
    assert_private(tmp_path / "copy")


def test_what_others_need_beside_a_ledger_is_left_to_them(tmp_path: Path) -> None:
    """Somebody's project, or a folder for everybody's files, that a ledger was put into."""
    website, script = tmp_path / "website", tmp_path / "run.sh"
    website.mkdir(mode=0o755)
    script.touch(mode=0o755)
    tmp_path.chmod(0o755)
    upgraded = run_command(tmp_path, "db", "upgrade")
    assert upgraded.returncode == 0
    assert "others may look into the data folder" in upgraded.stderr
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, website, script)] == [0o755] * 3
    for name in ("ledger.db", "secret.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_socket_or_a_link_among_the_files_is_not_followed(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    data.mkdir(mode=0o755)
    outside.write_text("of somebody else")
    outside.chmod(0o644)
    (data / "ledger.db.link").symlink_to(outside)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "s"))
        assert run_command(data, "db", "upgrade").returncode == 0
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
