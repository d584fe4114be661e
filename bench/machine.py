"""The machine that was measured on: figures of another are not to be compared with these."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from bench.load import quantile

SYNCS = 200
LIBRARIES = ("celery", "flask", "gunicorn", "psycopg", "redis", "requests", "sqlalchemy")


def describe(folder: Path, postgres: str, redis: str) -> Mapping[str, str]:
    """What it is made of, and how long a write takes to be on the disk that `folder` is on."""
    return {
        "processor": f"{os.cpu_count()} x {_of_file('/proc/cpuinfo', 'model name')}",
        "memory": f"{int(_of_file('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(folder),
        "fsync": _fsync(folder),
        "python": platform.python_version(),
        "postgresql": postgres,
        "redis": redis,
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def _of_file(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _file_system(folder: Path) -> str:
    found = subprocess.run(
        ["df", "--output=fstype,source", folder], capture_output=True, text=True, check=False
    )
    return " on ".join(found.stdout.splitlines()[-1].split()) if found.returncode == 0 else "unknown"


def _fsync(folder: Path) -> str:
    """Of appending 4 kB and syncing them, as a ledger does."""
    seconds = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return f"{quantile(seconds, 0.5) * 1000:.2f} ms (median), {quantile(seconds, 0.99) * 1000:.2f} ms (p99)"
