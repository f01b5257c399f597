"""Does an input fit a graph? Asked before anything is started.

Side: client. LangGraph itself takes any mapping, ignores the keys that it does not know, and leaves the rest to the nodes.
This check refuses only what can't be meant: no known field, an unknown one, a field missing from a schema that is the
input's own, a plain value of the wrong type. A field with a reducer is not looked into: reducers take many shapes
(`add_messages` takes tuples, dicts and messages).
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, Required, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from perdure._compat import Pregel
from perdure.errors import InputInvalid

__all__ = ["check_input"]

_Graph = Pregel[Any, Any, Any, Any]


def check_input(graph: _Graph, name: str, value: Any) -> None:
    """Refuse an input that cannot start the graph.

    Raises:
        InputInvalid: naming the graph, the field and what it expects.
    """
    schema = getattr(getattr(graph, "builder", None), "input_schema", None)
    if value is None:
        raise InputInvalid(f"graph {name!r} needs an input{_expected(graph, schema)}")
    if schema is None:
        return  # a functional graph: its function takes what it takes
    if not isinstance(value, dict):
        raise InputInvalid(
            f"the input of graph {name!r} is a {type(value).__name__}, not an object{_expected(graph, schema)}"
        )
    fields = _fields(graph, schema)
    if unknown := [key for key in value if key not in fields]:
        raise InputInvalid(
            f"graph {name!r} has no input field {', '.join(map(repr, unknown))}{_expected(graph, schema)}"
        )
    if missing := [key for key in _required(graph, schema) if key not in value] or (
        [] if value else list(fields)
    ):
        raise InputInvalid(f"the input of graph {name!r} lacks {', '.join(map(repr, missing))}")
    for key, item in value.items():
        _check_field(name, key, fields[key], item)


def _check_field(name: str, key: str, hint: Any, item: Any) -> None:
    if get_origin(hint) in (NotRequired, Required):
        hint = get_args(hint)[0]
    if get_origin(hint) is Annotated and any(callable(extra) for extra in get_args(hint)[1:]):
        return
    try:
        TypeAdapter(hint).validate_python(item)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (key, *first["loc"]))
        raise InputInvalid(f"the input does not fit graph {name!r}: {where}: {first['msg']}") from error
    except PydanticUserError:
        return  # a hint that pydantic cannot check, such as typing.TypedDict before Python 3.12


def _fields(graph: _Graph, schema: Any) -> dict[str, Any]:
    channels = graph.input_channels
    names = list(graph.builder.schemas[schema]) if isinstance(channels, str) else list(channels)  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return {key: field.rebuild_annotation() for key, field in schema.model_fields.items()}
    try:
        hints = get_type_hints(schema, include_extras=True)
    except NameError:
        hints = {}  # written for type checkers only
    return {key: hints.get(key, Any) for key in names}


def _required(graph: _Graph, schema: Any) -> list[str]:
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return [key for key, field in schema.model_fields.items() if field.is_required()]
    if schema is getattr(graph.builder, "state_schema", None):  # pyright: ignore[reportAttributeAccessIssue]
        return []  # the whole state: an input need not have all of it
    # Annotations that are strings hide `NotRequired` from `__required_keys__`; the resolved hints show it.
    hints = _fields(graph, schema)
    keys = getattr(schema, "__required_keys__", ())
    return sorted(key for key in keys if get_origin(hints.get(key)) is not NotRequired)


def _expected(graph: _Graph, schema: Any) -> str:
    if schema is None:
        return ""
    required = set(_required(graph, schema))
    shown = [key if key in required else f"{key}?" for key in _fields(graph, schema)]
    return f"; its fields: {', '.join(shown)}"
