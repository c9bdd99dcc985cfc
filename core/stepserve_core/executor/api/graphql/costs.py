"""What one GraphQL request may cost: lists inside lists, and fields under many names, multiply within any depth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, Generic, TypeVar

from graphql import DocumentNode, FieldNode, GraphQLError
from graphql.language import FragmentDefinitionNode, OperationDefinitionNode, SelectionNode, SelectionSetNode

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MOST_UNITS = 10_000
"""Units of one request: each app, function, event, run and step in its answer is one."""

PAGE, COUNT = 100, 500
"""Units of a page, for what is looked at besides what it shows, and of counting everything that a filter finds."""

MOST_ALIASES = 50
"""Other names for fields in one document. With them a text of megabytes could be asked for hundreds of times."""


class Costs:
    """Adds up what one request costs."""

    def __init__(self) -> None:
        self._spent = 0

    def spend(self, units: int = 1) -> None:
        """Count units.

        Raises:
            ValueError: they are too many.
        """
        self._spent += units
        if self._spent > MOST_UNITS:
            raise ValueError(f"the query asks for more than {MOST_UNITS} objects; ask for fewer at once")


class Once(Generic[Key, Value]):
    """Looks something up once for each key, however many fields ask for it at the same time."""

    def __init__(self) -> None:
        self._found: dict[Key, asyncio.Future[Value]] = {}

    async def get(self, key: Key, look_up: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Return what `look_up` gives for `key`."""
        if key not in self._found:
            self._found[key] = asyncio.ensure_future(look_up())
        return await self._found[key]


def find_aliases(document: DocumentNode) -> list[GraphQLError]:
    """Return what is wrong with a document that has too many aliases."""
    count = sum(
        _count(definition.selection_set.selections)
        for definition in document.definitions
        if isinstance(definition, (OperationDefinitionNode, FragmentDefinitionNode))
    )
    if count <= MOST_ALIASES:
        return []
    return [GraphQLError(f"the query has {count} aliases; {MOST_ALIASES} are allowed in one request")]


def _count(selections: Iterable[SelectionNode]) -> int:
    count = 0
    for node in selections:
        count += isinstance(node, FieldNode) and node.alias is not None
        inner: SelectionSetNode | None = getattr(node, "selection_set", None)
        count += 0 if inner is None else _count(inner.selections)
    return count
