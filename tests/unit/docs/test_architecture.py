"""The picture of the architecture shows the rooms of the import contract in its order, and fits a phone."""

from __future__ import annotations

import tomllib
from itertools import groupby
from xml.etree import ElementTree

import pytest

from tests import ROOT
from tests.support.documents import links

NAMESPACE = "{http://www.w3.org/2000/svg}"
PICTURE = ROOT / "docs" / "architecture.svg"
SVG = ElementTree.parse(PICTURE).getroot()  # noqa: S314 - the project's own file
TEXTS = list(SVG.iter(f"{NAMESPACE}text"))
ROOMS = [text for text in TEXTS if text.get("class") == "room"]
WIDTH = 390  # of a phone
ANCHORS = {"middle": 0.5, "end": 1.0}  # of its classes: the part of a text that is left of its x
FONT_SIZES = {"name": 15.0}  # pixels; 13 for all other text


def _layers() -> list[set[str]]:
    """The layers of the import contract, from the top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [contract for contract in contracts if contract["type"] == "layers"]
    return [{room.strip() for room in layer.split("|")} for layer in contract["layers"]]


def test_its_rooms_are_the_layers_of_the_import_contract_from_top_to_bottom() -> None:
    rows = groupby(sorted(ROOMS, key=_top), _top)
    assert [{room.get("id") for room in row} for _, row in rows] == _layers()


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.get("id")))
def test_a_room_is_named_as_in_the_contract(room: ElementTree.Element) -> None:
    assert room.text == str(room.get("id")).removeprefix("bridge.")


def test_every_text_fits_a_phone() -> None:
    assert SVG.get("viewBox", "").split()[2] == SVG.get("width") == str(WIDTH)
    for text in TEXTS:
        classes = str(text.get("class")).split()
        width = 0.6 * len(str(text.text)) * FONT_SIZES.get(classes[0], 13.0)
        left = float(text.attrib["x"]) - width * max(ANCHORS.get(name, 0) for name in classes)
        assert left >= 0, text.text
        assert left + width <= WIDTH, text.text


@pytest.mark.parametrize("document", ["README.md", "docs/design.md"])
def test_a_document_shows_it(document: str) -> None:
    path = ROOT / document
    assert PICTURE in {(path.parent / link).resolve() for link in links(path)}


def _top(text: ElementTree.Element) -> float:
    return float(text.attrib["y"])
