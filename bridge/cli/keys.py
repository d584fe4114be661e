"""`spacebridge keys`: the keys that the ledger's secrets are encrypted with."""

from __future__ import annotations

from dataclasses import asdict

import click

from bridge.admin.rekey import encrypt_all_anew, replace_key
from bridge.cli.ledger_access import open_ledger, settings_of_command
from bridge.cli.terminal import JSON_OPTION, print_result
from bridge.vault.encryption import make_key


@click.group()
def keys() -> None:
    """The keys that the ledger's secrets are encrypted with."""


@keys.command("make")
def make() -> None:
    """Print a new key, for SPACEBRIDGE_SECRET_KEY. The command keeps no copy of it."""
    click.echo(make_key())


@keys.command("rotate")
@JSON_OPTION
def rotate(as_json: bool) -> None:
    """Encrypt all secrets again: with a new key, or with the first of SPACEBRIDGE_SECRET_KEY.

    The embedded ledger gets a new key, and the bridge may run meanwhile.

    Where the keys are settings, first put a new one (`spacebridge keys make`) before the old one in
    SPACEBRIDGE_SECRET_KEY, and restart each process; then run this; then remove the old one.

    The command may be interrupted at any time, and run again.
    """
    settings = settings_of_command()
    ledger = open_ledger(settings)
    vault = settings.vault()
    file = settings.key_file
    result = encrypt_all_anew(ledger, vault) if file is None else replace_key(ledger, file)
    if file is not None:
        advice = (
            f"{file.path} holds a new key, and the old one is gone: back up the new one. Keep the back-up of "
            "the old key as long as the back-ups of the ledger from before."
        )
    elif len(settings.secret_key) > 1:
        advice = "The first key in SPACEBRIDGE_SECRET_KEY encrypts all of them: remove the others."
    else:
        advice = (
            "The one key in SPACEBRIDGE_SECRET_KEY encrypts all of them: to change it, put another before it "
            "first."
        )
    sentence = f"Secrets that were encrypted again: {result.encrypted_anew} of {result.secrets}."
    print_result(asdict(result), sentence, as_json=as_json, advice=advice)
