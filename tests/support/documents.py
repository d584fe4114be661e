"""The markdown documents of the project, as tests read them: headings, links, tables, code spans."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests import ROOT

DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(path for top in ("bench", "deploy", "docs") for path in (ROOT / top).rglob("*.md")),
    ]
)

_MARKDOWN = MarkdownIt("commonmark").enable("table")


def links(document: Path) -> Sequence[str]:
    """The targets of its links and pictures."""
    attributes = {"link_open": "href", "image": "src"}
    return [
        str(token.attrs[attributes[token.type]]) for token in _inline(document) if token.type in attributes
    ]


def anchors(document: Path) -> set[str]:
    """What a link may name after its #: the headings, written as GitHub writes them."""
    tokens = _parse(document)
    headings = [text.content for opening, text in pairwise(tokens) if opening.type == "heading_open"]
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_spans(document: Path) -> Sequence[str]:
    """What stands in backticks, each on one line."""
    return [" ".join(token.content.split()) for token in _inline(document) if token.type == "code_inline"]


def table(document: Path, heading: str) -> Sequence[Sequence[str]]:
    """The rows of the first table under a heading, without the table's own; cells are markdown."""
    tokens = iter(_parse(document))
    next(token for token in tokens if token.type == "inline" and token.content == heading)
    next(token for token in tokens if token.type == "tbody_open")
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tbody_close":
            break
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(token.content)
    return rows


def _parse(document: Path) -> Sequence[Token]:
    return _MARKDOWN.parse(document.read_text())


def _inline(document: Path) -> Iterator[Token]:
    for token in _parse(document):
        yield from token.children or ()
