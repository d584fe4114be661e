"""What the gunicorn config says, read and not run: it needs a bridge's settings, and sets up a process."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

import bridge


@cache
def gunicorn_setting(name: str) -> Any:
    """The value of a setting that is written there as it is."""
    text = (Path(bridge.__file__).parent / "gunicorn_config.py").read_text()
    for statement in ast.parse(text).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return ast.literal_eval(value)
    raise LookupError(f"the gunicorn config sets no {name}")
