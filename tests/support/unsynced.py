"""Runs a program in which every fsync and fdatasync fails with EIO, as on a broken disk; Linux alone.

The kernel is told by a seccomp filter, which needs no rights and stays with all that is forked.
`python -m tests.support.unsynced commit URL WAY TIMES`, or `... module NAME ARGUMENT...`.
"""

from __future__ import annotations

import ctypes
import errno
import json
import platform
import runpy
import struct
import sys

from bridge.db import Ledger, LedgerUnavailableError

_CALLS = {"x86_64": (74, 75), "aarch64": (82, 83)}  # the numbers of fsync and fdatasync
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_FAIL, _ALLOW = 0x0005_0000 | errno.EIO, 0x7FFF_0000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def forbid_syncing() -> None:
    """Have every sync of this process and its children fail."""
    steps = [(_LOAD_NUMBER, 0, 0, 0)]
    for number in _CALLS[platform.machine()]:
        steps += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _FAIL)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for option in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*option):
            raise OSError(ctypes.get_errno(), "seccomp")


def commit(url: str, way: str, times: str) -> None:
    """Try to commit so often, each by itself, and print how often it failed."""
    from tests.integration.db.test_synced_commits import commit as commit_once  # noqa: PLC0415

    failed = 0
    ledger = Ledger(url)
    for number in range(int(times)):
        try:
            commit_once(ledger, way, number)
        except LedgerUnavailableError:
            failed += 1
    print(json.dumps({"failed": failed, "committed": int(times) - failed}))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    forbid_syncing()
    if what == "commit":
        commit(*arguments)
    else:
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
