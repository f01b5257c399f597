"""JSON schemas of a graph: what goes in, what comes out, what it keeps. Side: server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.utils.pydantic import create_model
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from perdure._compat import Pregel

__all__ = ["schemas"]


def schemas(graph: Pregel[Any, Any, Any, Any]) -> dict[str, Any]:
    """`None` for a schema that has no JSON form."""
    return {
        "input_schema": _or_none(graph.get_input_jsonschema),
        "output_schema": _or_none(graph.get_output_jsonschema),
        "state_schema": _or_none(lambda: _state(graph)),
        "config_schema": _or_none(lambda: _context(graph)) or {},
        "context_schema": _or_none(lambda: _context(graph)),
    }


def _state(graph: Pregel[Any, Any, Any, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in graph.stream_channels_list:
        channel: Any = graph.channels[name]
        shown = _or_none(TypeAdapter(channel.UpdateType).json_schema) is not None
        fields[name] = (channel.UpdateType if shown else Any, None)
    return create_model(graph.get_name("State"), **fields).model_json_schema()


def _context(graph: Pregel[Any, Any, Any, Any]) -> dict[str, Any] | None:
    return graph.get_context_jsonschema()


def _or_none(make: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    try:
        return make()
    except (PydanticUserError, TypeError, ValueError, AttributeError, NameError, KeyError):
        return None
