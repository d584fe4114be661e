"""Reads a query's `filter` or `where`, from a JSON string or LoopBack's brackets; pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from werkzeug.datastructures import MultiDict

from bridge.sandbox.errors import ApiError
from bridge.sandbox.validation import decode_json

# LoopBack reads brackets with qs, which takes deeper ones for a part of a property's name.
_MAX_BRACKETS = 5
_BRACKET = re.compile(r"\[([^\[\]]*)\]")
_IN_BRACKETS = re.compile(r"(?:\[[^\[\]]*\])+")

_Tree = dict[str, "_Tree | list[Text]"]


class Text(str):
    """A text from brackets, where only the property says whether `true` and `5` are texts."""

    __slots__ = ()


def read_parameter(name: str, query: MultiDict[str, str]) -> dict[str, object]:
    """The object in `name=<JSON object>` or `name[...]=<text>` of a query; empty if the query has neither.

    Each single value from brackets is a Text. Raises ApiError 400 if it is no object, or is given twice.
    """
    texts = query.getlist(name)
    bracketed = [(key, text) for key, text in query.items(multi=True) if key.startswith(f"{name}[")]
    if len(texts) > 1 or (texts and bracketed):
        raise ApiError(400, f"Give the `{name}` once: as one JSON string or in brackets, not as both.")
    return _from_json(name, texts[0]) if texts else _from_brackets(name, bracketed)


def _from_json(name: str, text: str) -> dict[str, object]:
    try:
        value = decode_json(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ApiError(400, f"The `{name}` is not a JSON object.")
    return value


def _from_brackets(name: str, query: Sequence[tuple[str, str]]) -> dict[str, object]:
    """`filter[where][name]=x` and `filter[limit]=1` -> `{"where": {"name": "x"}, "limit": "1"}`."""
    tree: _Tree = {}
    for parameter, text in query:
        brackets = parameter.removeprefix(name)
        if _IN_BRACKETS.fullmatch(brackets) is None:
            raise ApiError(400, f"The brackets of `{parameter}` do not match.")
        path = _BRACKET.findall(brackets)
        if len(path) > _MAX_BRACKETS:
            raise ApiError(
                400, f"`{parameter}` has more than {_MAX_BRACKETS} brackets: give the `{name}` as JSON."
            )
        if not _put(tree, path, text):
            raise ApiError(400, f"`{parameter}` is given as a value and as an object of values.")
    value = _with_lists(tree) if tree else {}
    if not isinstance(value, dict):
        raise ApiError(400, f"The `{name}` has to be an object.")
    return value


def _put(tree: _Tree, path: Sequence[str], text: str) -> bool:
    """Add a text at the end of its path, where several become a list, as with qs.

    Returns False if the path leads through a text, or ends at an object.
    """
    for step in path[:-1]:
        subtree = tree.setdefault(step or str(len(tree)), {})
        if not isinstance(subtree, dict):
            return False
        tree = subtree
    texts = tree.setdefault(path[-1] or str(len(tree)), [])
    if not isinstance(texts, list):
        return False
    texts.append(Text(text))
    return True


def _with_lists(tree: _Tree | list[Text]) -> object:
    """The tree, with a list for each object whose keys count from 0: `{"0": "a", "1": "b"}`."""
    if not isinstance(tree, dict):
        return tree if len(tree) > 1 else tree[0]
    numbers = [str(position) for position in range(len(tree))]
    if tree.keys() == set(numbers):
        return [_with_lists(tree[number]) for number in numbers]
    return {name: _with_lists(value) for name, value in tree.items()}
