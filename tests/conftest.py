"""What holds for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings
from structlog._config import BoundLoggerLazyProxy

from tests.support import guardian

# A machine that is busy with something else is slow, and no test is wrong for that.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Files that take longer than a minute come first: none of them is to be what all wait for at the end.
LONGEST = (
    *("test_bench", "test_faults", "test_processes", "test_copying", "test_up", "test_first_order"),
    *("test_life_of_a_store", "test_against_openapi"),
)


def _configure_logging() -> None:
    """Lines as structlog prints them by itself, without every local variable in each traceback."""
    structlog.reset_defaults()
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


def pytest_configure(config: pytest.Config) -> None:
    _configure_logging()
    if not hasattr(config, "workerinput"):  # pytest-xdist's processes are the guarded run's own
        guardian.start()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """What a test sets of the process ends with it: the umask, and logging, which loggers keep once used."""
    umask = os.umask(0o022)
    os.umask(umask)
    yield
    os.umask(umask)
    if structlog.get_config()["cache_logger_on_first_use"]:
        _configure_logging()
        for module in list(sys.modules.values()):
            if isinstance(log := getattr(module, "log", None), BoundLoggerLazyProxy):
                log.__dict__.pop("bind", None)
