"""`POST /v0/gql`: parsing, limits, execution."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    build_schema,
    execute,
    parse,
    validate,
)
from graphql.language import (
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor import limits
from stepserve_core.executor.api.graphql.costs import find_aliases
from stepserve_core.executor.api.graphql.mutations import Mutations
from stepserve_core.executor.api.graphql.queries import Queries
from stepserve_core.executor.api.graphql.schema import TYPES
from stepserve_core.executor.api.http import HttpError, executor_of, json_response, read_body

MAX_TOKENS, MAX_DEPTH = 5_000, 15
"""Types refer to each other; without a bound a short query could ask for the whole store many times over."""


class _Body(msgspec.Struct):
    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = msgspec.field(default=None, name="operationName")


@cache
def _schema() -> GraphQLSchema:
    return build_schema(TYPES)


class _Root:
    """Both roots in one: a document names fields of one type only."""

    def __init__(self, queries: Queries, mutations: Mutations) -> None:
        self._roots = (queries, mutations)

    def __getattr__(self, name: str) -> Any:
        for root in self._roots:
            if not name.startswith("_") and hasattr(root, name):
                return getattr(root, name)
        raise AttributeError(name)


async def respond(request: Request) -> Response:
    """Answer a GraphQL request: 200 with `data` and `errors`, also where the document is wrong."""
    try:
        body = msgspec.json.decode(await read_body(request, limits.EVENT_SIZE), type=_Body)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body is not a GraphQL request: {error}") from None
    document, errors = _read(body.query)
    if document is None or errors:
        return json_response({"data": None, "errors": [error.formatted for error in errors]})
    executor = executor_of(request)
    root = _Root(Queries(executor), Mutations(executor, request.app.state.sync))
    outcome = execute(
        _schema(), document, root, variable_values=body.variables or {}, operation_name=body.operation_name
    )
    result = outcome if isinstance(outcome, ExecutionResult) else await outcome
    return json_response(result.formatted)


def _read(query: str) -> tuple[DocumentNode | None, list[GraphQLError]]:
    """Return the document, and what is wrong with it."""
    try:
        document = parse(query, max_tokens=MAX_TOKENS)
        return document, validate(_schema(), document) or _too_deep(document) or find_aliases(document)
    except GraphQLError as error:
        return None, [error]
    except RecursionError:
        return None, [GraphQLError("the query is nested too deeply")]


def _too_deep(document: DocumentNode) -> list[GraphQLError]:
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}

    @cache  # fragments that each spread the next one twice would be walked a number of times that doubles with each
    def fragment_depth(name: str) -> int:
        return depth(fragments[name].selection_set)

    def depth(selections: SelectionSetNode | None) -> int:
        if selections is None:
            return 0
        deepest = 0
        for node in selections.selections:
            if isinstance(node, FieldNode):
                deepest = max(deepest, 1 + depth(node.selection_set))
            elif isinstance(node, InlineFragmentNode):
                deepest = max(deepest, depth(node.selection_set))
            elif isinstance(node, FragmentSpreadNode):
                deepest = max(deepest, fragment_depth(node.name.value))
        return deepest

    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if all(depth(node.selection_set) <= MAX_DEPTH for node in operations):
        return []
    return [GraphQLError(f"the query is nested deeper than {MAX_DEPTH} fields")]
