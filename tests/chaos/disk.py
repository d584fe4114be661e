"""A small disk of its own for the ledger, that can be made full."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEBIBYTE = 2**20


class Disk:
    """A file system in memory, mounted at a folder. Only root may mount one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user may enter: PostgreSQL runs as another one where root runs this."""
    with tempfile.TemporaryDirectory(prefix="spacebridge-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def may_mount() -> bool:
    """Whether this user may mount a disk."""
    return os.geteuid() == 0


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Disk]:
    """A disk of `size` bytes at this folder, for as long as the block lasts."""
    folder.mkdir(parents=True)
    options = f"size={size},mode=0777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "spacebridge-chaos", str(folder)], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
