"""`@task` functions: which ones a function calls, and how another process finds them.

Side: both. Pure: nothing is imported here, so a name that comes from elsewhere can only lead to a `@task` of a module
that this process has loaded anyhow.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

from langchain_core.runnables import Runnable

from perdure._compat import RunnableSeq, TaskFunction, get_runnable_for_task
from perdure.errors import TaskNotFound

__all__ = ["AnyTask", "find_task", "named_tasks", "named_values", "plain_function", "task_body", "task_path"]

AnyTask = TaskFunction[..., Any]


def task_path(func: Any) -> str | None:
    """Where another process finds the task of this function, as "package.module:name"; `None` where it cannot: the task
    is local to a function, or was made from a lambda or another object's method."""
    name: str = getattr(func, "__qualname__", "")
    module = sys.modules.get(getattr(func, "__module__", None) or "")
    if module is None:
        return None
    if _is_task_of(_attribute(module, name), func):
        return f"{module.__name__}:{name}"
    # `shorter = task(function)` has another name than its function.
    for other, value in list(vars(module).items()):
        if _is_task_of(value, func):
            return f"{module.__name__}:{other}"
    return None


def find_task(path: str) -> AnyTask:
    """The task that `task_path` named.

    Raises:
        TaskNotFound: when no module that is loaded here has such a task.
    """
    module_name, _, name = path.partition(":")
    module = sys.modules.get(module_name)
    found = None if module is None else _attribute(module, name)
    if not isinstance(found, TaskFunction):
        why = "that module is not loaded" if module is None else "that module has no such @task"
        raise TaskNotFound(
            f"this worker has no task {path!r}: {why}; run the same code on all workers of a task queue, and import "
            "modules that have tasks at the top of the graph's module"
        )
    return found


def task_body(func: Callable[..., Any]) -> Runnable[Any, Any]:
    """What LangGraph runs for the task of this function, on `(args, kwargs)`, without the write of its result."""
    return cast("RunnableSeq", get_runnable_for_task(func)).steps[0]


def named_tasks(function: Any) -> list[AnyTask]:
    """The tasks that a function names: itself, in its inner functions, in functions of the same package that it names, in
    the tasks themselves. A task that is reached in another way (out of a list, say) is not seen."""
    found: dict[int, AnyTask] = {}
    todo = [function]
    seen: set[int] = set()
    package = _package(plain_function(function))
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, TaskFunction):
            found[id(value)] = value
            value = value.func
        plain = plain_function(value)
        if plain is not None and (value is function or _package(plain) == package):
            todo.extend(v for v in named_values(plain, value) if isinstance(v, (TaskFunction, FunctionType)))
    return list(found.values())


def _is_task_of(value: Any, func: Any) -> bool:
    return isinstance(value, TaskFunction) and value.func is func


def _attribute(owner: Any, name: str) -> Any:
    for part in name.split("."):
        owner = getattr(owner, part, None)
    return owner


def plain_function(value: Any) -> FunctionType | None:
    """The function inside partials, methods and decorators."""
    value = inspect.unwrap(getattr(value, "func", value))
    value = getattr(value, "__func__", value)
    return value if isinstance(value, FunctionType) else None


def _package(function: FunctionType | None) -> str:
    return (getattr(function, "__module__", None) or "").partition(".")[0]


def named_values(function: FunctionType, original: Any) -> Iterator[Any]:
    """What a function's code names: globals, what it closes over, attributes of modules and of its own object."""
    names = list(dict.fromkeys(_names(function.__code__)))
    for value in (*(function.__globals__.get(name) for name in names), *_closed_over(function)):
        yield value
        if isinstance(value, ModuleType):
            yield from (vars(value).get(name) for name in names)
    if (owner := getattr(original, "__self__", None)) is not None:
        yield from (getattr(owner, "__dict__", {}).get(name) for name in names)


def _closed_over(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # not filled yet


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
