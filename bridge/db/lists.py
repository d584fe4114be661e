"""A list of ids as one parameter, so that a statement has one text and one plan for any number of them.

SQLAlchemy's own IN has a parameter for each id. PostgreSQL would plan it for each length of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, JSON, BigInteger, ColumnElement, Dialect, bindparam, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


def in_list(tested: ColumnElement[int], name: str) -> ColumnElement[bool]:
    """Whether a column's value is in the list that is the parameter `name`."""
    return tested.op("IN", is_comparison=True)(_Values(bindparam(name, type_=_List())))


def pair_in_lists(tested: Sequence[ColumnElement[int]], names: Sequence[str]) -> ColumnElement[bool]:
    """Whether the values of two columns are at one place of the two lists that are these parameters."""
    lists = (bindparam(name, type_=_List()) for name in names)
    return tuple_(*tested).op("IN", is_comparison=True)(_Pairs(*lists))


class _List(TypeDecorator[Any]):
    """A list of numbers: an array in PostgreSQL, JSON in SQLite."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        is_postgresql = dialect.name == "postgresql"
        return dialect.type_descriptor(ARRAY(BigInteger()) if is_postgresql else JSON())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return list(value)


class _Values(FunctionElement[int]):
    """A subquery: the numbers in a list."""

    inherit_cache = True


@compiles(_Values, "postgresql")
def _of_array(element: _Values, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT unnest({compiler.process(element.clauses, **options)}))"


@compiles(_Values, "sqlite")
def _of_json(element: _Values, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(element.clauses, **options)}))"  # noqa: S608


class _Pairs(FunctionElement[int]):
    """A subquery: the numbers at each place of two lists."""

    inherit_cache = True


@compiles(_Pairs, "postgresql")
def _of_arrays(element: _Pairs, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT * FROM unnest({compiler.process(element.clauses, **options)}))"  # noqa: S608


@compiles(_Pairs, "sqlite")
def _of_two_json(element: _Pairs, compiler: SQLCompiler, **options: Any) -> str:
    first, second = (compiler.process(each, **options) for each in element.clauses)
    lists = f"json_each({first}) AS a JOIN json_each({second}) AS b ON a.key = b.key"
    return f"(SELECT a.value, b.value FROM {lists})"  # noqa: S608
