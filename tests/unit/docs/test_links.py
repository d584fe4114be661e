"""Links, anchors, paths and commands in the documents lead to something that exists."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import click
import pytest

from bridge.cli.command import cli
from tests import ROOT
from tests.support.documents import DOCUMENTS, anchors, code_spans, links

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
FOLDERS = ("bench", "bridge", "deploy", "docs", "tests", "worker")
TEXT_FILES = {"", ".example", ".json", ".md", ".py", ".sh", ".svg", ".toml", ".yaml", ".yml"}
PLACEHOLDERS = {
    "DIR/ledger.db": "ledger.db",
    "FILE": "-",
    "ID": "17",
    "KEY=VALUE...": "zero_total=skip",
    "NAME": "shop",
    "ORDER": "17",
    "ORDER...": "17",
    "PATH": "ledger.db",
    "STORE": "shop",
    "TEXT": "why",
}


@each_document
def test_a_relative_link_leads_to_a_file_and_to_a_heading_in_it(document: Path) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_a_path_in_backticks_exists(document: Path) -> None:
    for span in code_spans(document):
        if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./-]*", span):
            assert (ROOT / span).exists(), span


def test_a_document_that_a_file_names_exists() -> None:
    paths = [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    files = [path for path in paths if path.suffix in TEXT_FILES and path.is_file()]
    named = {name for path in files for name in re.findall(r"\bdocs/[a-z-]+\.(?:md|svg)", path.read_text())}
    assert len(named) > 5
    assert {name for name in named if not (ROOT / name).exists()} == set()


def _commands() -> list[str]:
    """What the documents say to type, of the bridge's own commands."""
    spans = {span for document in DOCUMENTS for span in code_spans(document)}
    return sorted(span for span in spans if span.startswith("spacebridge "))


@pytest.mark.parametrize("typed", _commands())
def test_a_command_in_backticks_can_be_typed(typed: str) -> None:
    words = shlex.split(typed.replace("$(date +%F-%H%M)", "now"))[1:]
    arguments = [PLACEHOLDERS.get(word, word) for word in words]
    command: click.Command = cli
    while isinstance(command, click.Group) and arguments:
        name = arguments.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, name
        command = found
    if not isinstance(command, click.Group) and arguments:  # else the text names the command alone
        with contextlib.suppress(click.exceptions.Exit):  # of --help
            command.make_context(typed, arguments)  # raises for what it does not take
