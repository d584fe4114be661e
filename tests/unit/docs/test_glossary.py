"""The glossary gives each term one meaning."""

from __future__ import annotations

import re

from tests import ROOT


def test_a_term_is_defined_once() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    terms = re.findall(r"^- \*\*(.+?)\*\*", glossary, re.MULTILINE)
    assert len(terms) > 50
    assert len(terms) == len(set(terms))
