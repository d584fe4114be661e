"""A small disk of its own for the ledger, that can be made full, and whose power can fail."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import wait_until

MEBIBYTE = 2**20
# EXT4_IOC_SHUTDOWN of Linux' fs/ext4/ext4.h, with EXT4_GOING_FLAGS_NOLOGFLUSH: nothing more gets to the disk,
# neither what waits in memory nor the journal.
_SHUTDOWN, _AT_ONCE = 0x8004587D, struct.pack("I", 2)


class Disk:
    """A file system of its own, mounted at a folder. Only root may mount one."""

    def __init__(self, folder: Path, image: Path | None) -> None:
        """`image`: the file that is the disk; None if it is in memory, and ends with its power."""
        self.folder, self.image = folder, image

    def sync(self) -> None:
        """Have all that was written until now withstand a power failure."""
        subprocess.run(["sync", "--file-system", str(self.folder)], check=True)

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Not a byte is free, until the block ends."""
        filler = self.folder / "filler"
        with filler.open("wb") as file:
            size = 0
            for piece in (MEBIBYTE, os.sysconf("SC_PAGE_SIZE")):
                with contextlib.suppress(OSError):  # that no such piece is free any more
                    while True:
                        os.posix_fallocate(file.fileno(), size, piece)
                        size += piece
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def without_power(self) -> Iterator[None]:
        """Within the block nothing can be written any more; after it, there is what had been synced.

        In the block all that has a file of it open has to end. Raises AssertionError if nothing was lost.
        """
        unsynced = self.folder / "unsynced"
        unsynced.write_bytes(b"of no duration")
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, _AT_ONCE)
        finally:
            os.close(folder)
        yield
        # The kernel closes the files of what was killed in a moment of its own.
        wait_until(lambda: _succeeds("umount", str(self.folder)), "a disk that nobody uses")
        # A process in a mount namespace of its own, as tests of containers have, keeps a copy of the mount.
        # Until it ends, mounting again would give the file system that was shut down.
        wait_until(lambda: not self._is_attached(), "a disk that no other namespace has mounted", within=300)
        # As a machine does that starts again: what was half written of the file system itself is mended.
        subprocess.run(["fsck.ext4", "-y", str(self.image)], check=False, capture_output=True)
        self.mount()
        (self.folder / "filler").unlink(missing_ok=True)  # that it was removed may be lost, too
        assert not unsynced.exists() or not unsynced.read_bytes(), "the power failed, and nothing was lost"
        unsynced.unlink(missing_ok=True)

    def _is_attached(self) -> bool:
        devices = subprocess.run(
            ["losetup", "--associated", str(self.image)], check=True, capture_output=True, text=True
        )
        return bool(devices.stdout.strip())

    def mount(self) -> None:
        # What is not synced is kept in memory for as long as may be.
        subprocess.run(["mount", "-o", "loop,commit=600", str(self.image), str(self.folder)], check=True)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user may enter: PostgreSQL runs as another one where root runs this."""
    with tempfile.TemporaryDirectory(prefix="spacebridge-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Disk | None]:
    """A disk of `size` bytes at this folder, for as long as the block lasts.

    It is one in memory where there can be none in a file, and None where this user may mount neither.
    """
    folder.mkdir(parents=True)
    disk = _in_a_file(folder, size) or _in_memory(folder, size)
    try:
        yield disk
    finally:
        if disk is not None:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _in_a_file(folder: Path, size: int) -> Disk | None:
    image = folder.with_name(f"{folder.name}.image")
    if shutil.which("mkfs.ext4") is None or os.geteuid() != 0:
        return None
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    disk = Disk(folder, image)
    try:
        disk.mount()
    except subprocess.CalledProcessError:  # no such device in this container
        return None
    folder.chmod(0o777)
    return disk


def _in_memory(folder: Path, size: int) -> Disk | None:
    options = f"size={size},mode=0777"
    mounts = _succeeds("mount", "-t", "tmpfs", "-o", options, "spacebridge-chaos", str(folder))
    return Disk(folder, None) if mounts else None


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
