"""The `spacebridge` command."""

from __future__ import annotations

import sys


def __getattr__(name: str) -> object:
    """Import `bridge.cli.cli` on first use, for a program that calls the commands itself."""
    if name == "cli":
        from bridge.cli.command import cli  # noqa: PLC0415

        return cli
    raise AttributeError(name)


def main() -> None:
    """Run the command, and end the process with its exit status."""
    try:
        # Imported here, since Ctrl-C may come during the import, too.
        from bridge.cli.command import run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        sys.exit("Aborted.")
