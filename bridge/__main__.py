"""`python -m bridge` is the `spacebridge` command."""

from bridge.cli import main

main()
