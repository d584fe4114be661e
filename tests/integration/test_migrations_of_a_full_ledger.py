"""Each migration over a ledger with rows, on both databases: they stay, and the version before goes on.

An upgrade begins while the version before runs, and that one runs until the last process is replaced. Its
statements name the columns that it knows. So do those here: the tables are as they were before the migration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Boolean, Column, DateTime, Integer, LargeBinary, MetaData, Table
from sqlalchemy import Engine, event, insert, inspect, select, text, update

import bridge.ledger.migrations
from bridge.ledger import Ledger
from tests.integration.ledger.test_plans import GROWING

SCRIPTS = ScriptDirectory(str(Path(bridge.ledger.migrations.__path__[0])))
REVISIONS = sorted(one.revision for one in SCRIPTS.walk_revisions())
STEPS = list(zip(REVISIONS, REVISIONS[1:], strict=False))
# Came before the first release: there was no older version to run.
BEFORE_RELEASE = {"0002", "0003"}
