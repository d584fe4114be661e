"""The `spacebridge` command."""

from __future__ import annotations

import sys


def __getattr__(name: str) -> object:
    """`bridge.cli.cli`, for those who call the command in a process of their own."""
    if name == "cli":
        from bridge.cli.command import cli  # noqa: PLC0415

        return cli
    raise AttributeError(name)


def main() -> None:
    """Run the command, and end the process with its status."""
    try:
        # Loading it takes half a second, in which Ctrl-C may come, too.
        from bridge.cli.command import run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        sys.exit("Aborted.")
