"""The file beside the embedded ledger with the key to its secrets; during a change of keys it has two."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bridge.disk import sync
from bridge.vault.encryption import make_key


class KeysAreBeingChangedError(Exception):
    """Another process is changing the keys."""

    def __init__(self) -> None:
        super().__init__("The keys are being changed by another command: wait until that has ended.")


class KeyFile:
    """A file with one key a line: the first encrypts, all decrypt. A reader never sees a part of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Sequence[str]:
        """The keys, without checking their form; raises OSError."""
        return self.path.read_text(encoding="latin-1").split()

    def make(self) -> None:
        """Make the key, unless there is one: an existing key is never replaced."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f"{self.path.name}.")  # of mode 0600
        temporary = Path(name)
        _write(descriptor, [make_key()])
        try:
            # A link is atomic, and fails if another process was first.
            self.path.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        sync(self.path.parent)

    def replace(self, keys: Sequence[str]) -> None:
        """Replace the keys, durably and atomically. The caller holds the lock of `exclusive`.

        The file keeps its owner: if root changes the keys of a service, the service has to read them.
        """
        owner = self.path.stat()
        new = self.path.with_name(f"{self.path.name}.new")
        new.unlink(missing_ok=True)  # left by a crash
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        _write(descriptor, keys)
        if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(new, owner.st_uid, owner.st_gid)
        new.replace(self.path)
        sync(self.path.parent)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from changing the keys; raises KeysAreBeingChangedError if one is doing so.

        The lock is on the folder. The kernel releases it when the process dies.
        """
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise KeysAreBeingChangedError from None
            yield
        finally:
            os.close(folder)


def _write(descriptor: int, keys: Sequence[str]) -> None:
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
