"""Exceptions in payloads. Either side; owns the form of an exception and how it is revived.

`{"$type": "Exception", "class": "ValueError", "message": "…", "args": […]}`. A built-in exception, LangGraph's,
Perdure's and those on the allow-list come back as themselves; any other as a `RemoteError` with its class name.

It does not keep tracebacks and causes. An exception whose arguments have no payload form keeps only its message:
reporting an error must not itself fail.
"""

from types import FunctionType
from typing import Any

from perdure.errors import PayloadNotSerializable, RemoteError
from perdure.payloads.families import EXCEPTION_CLASSES
from perdure.payloads.plan import TAG, Coder
from perdure.payloads.registry import qualified_name

__all__ = ["read_exception", "write_exception"]


def write_exception(error: BaseException, coder: Coder) -> dict[str, Any]:
    """The tagged form of an exception."""
    if type(error) is RemoteError:
        return {TAG: "Exception", "class": error.class_name, "message": error.message, "args": []}
    tp = type(error)
    name = tp.__name__ if EXCEPTION_CLASSES.get(tp.__name__) is tp else qualified_name(tp)
    out: dict[str, Any] = {TAG: "Exception", "class": name, "message": str(error)}
    try:
        out["args"] = [coder.encode(arg) for arg in error.args]
        if error.__dict__:
            out["attributes"] = coder.encode(error.__dict__)
    except PayloadNotSerializable:
        return {**out, "args": [str(error)]}
    return out


def read_exception(data: dict[str, Any], coder: Coder) -> BaseException:
    """The exception of a tagged form; never fails for an unknown class."""
    name: str = data["class"]
    cls: Any = EXCEPTION_CLASSES.get(name) or coder.registry.find(name)
    if cls is None or cls is RemoteError or not issubclass(cls, BaseException):
        return RemoteError(name, data["message"])
    args = coder.decode(data["args"])
    if isinstance(cls.__init__, FunctionType):
        # Its own __init__ may take other arguments than `args`: restore what that left behind instead.
        error = cls.__new__(cls, *args)
        error.args = tuple(args)
    else:
        try:
            error = cls(*args)
        except (TypeError, ValueError):
            return RemoteError(name, data["message"])
    error.__dict__.update(coder.decode(data.get("attributes", {})))
    return error
