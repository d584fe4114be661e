"""The `spacebridge` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, and end the process with its status."""
    try:
        # Loading it takes half a second, in which Ctrl-C may come, too.
        from bridge.cli.command import run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        sys.exit("Aborted.")
