"""`@effect`: declaring that a function or a tool changes the world.

Side: both; for authors. It changes nothing where the function runs outside Perdure, but for `current_effect()`, which then
tells a key of this one call; in an activity of your own, one that is the same for each attempt.

| `in_doubt` | what a second attempt does, when the first may have happened                     |
|------------|----------------------------------------------------------------------------------|
| `retry`    | calls the function again, with the same key (the default: the service deduplicates) |
| `check`    | calls `check`; what that returns is the result, `None` means it did not happen   |
| `ask`      | asks a person by an interrupt of the node: try again, it happened, or fail       |
| `fail`     | fails the node; the undo, if there is one, is still owed                         |

Not guaranteed: "exactly once". A function is called at least once; with the key, the service it calls can tell.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar, cast, get_args, overload

from langchain_core.tools import BaseTool, StructuredTool
from temporalio import activity
from temporalio.common import RetryPolicy

from perdure.contract.effect import Effect, InDoubt
from perdure.contract.policy import TOOL_RETRY, UNDO_RETRY

__all__ = [
    "EffectCaller",
    "EffectSpec",
    "bound_call",
    "commit_effects",
    "current_effect",
    "effect",
    "effect_caller",
    "effect_spec",
    "picked",
]

_F = TypeVar("_F", bound="Callable[..., Any] | BaseTool")

_MARK = "__perdure_effect__"
_OWN = ("result", "key", "effect")


class EffectCaller(Protocol):
    """Makes an effect's call where it belongs, on behalf of an attempt of a node."""

    loop: asyncio.AbstractEventLoop

    async def call(self, spec: EffectSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...
    def commit(self) -> None: ...


effect_caller: ContextVar[EffectCaller | None] = ContextVar("perdure_effect_caller", default=None)
"""Set while a node's body runs in Perdure."""

_current: ContextVar[Effect | None] = ContextVar("perdure_current_effect", default=None)


@dataclass(frozen=True, eq=False)
class EffectSpec:
    """What `effect(...)` declared of a function."""

    function: Callable[..., Any]
    name: str
    undo: Callable[..., Any] | None
    check: Callable[..., Any] | None
    in_doubt: InDoubt
    retry: RetryPolicy
    timeout: timedelta | None
    undo_retry: RetryPolicy
    undo_timeout: timedelta
    undo_parallel: bool

    @property
    def id(self) -> str:
        """The same in every process that has the code."""
        return f"{self.function.__module__}:{self.function.__qualname__}" + (
            "" if self.name == self.function.__name__ else f"#{self.name}"
        )

    async def run(self, told: Effect, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function itself; a sync one in a thread."""
        token = _current.set(told)
        try:
            return await _call(self.function, args, kwargs | self._injected(self.function, told))
        finally:
            _current.reset(token)

    async def look(self, told: Effect, known: dict[str, Any]) -> Any:
        """What `check` says: the result of an effect that happened, or `None`."""
        assert self.check is not None
        return await _call(self.check, (), picked(self.check, known | {"effect": told}))

    async def take_back(self, told: Effect, known: dict[str, Any]) -> None:
        """Call the undo. `current_effect()` works in it, too."""
        assert self.undo is not None
        token = _current.set(told)
        try:
            await _call(self.undo, (), picked(self.undo, known | {"effect": told}))
        finally:
            _current.reset(token)

    def _injected(self, function: Callable[..., Any], told: Effect) -> dict[str, Any]:
        return dict.fromkeys(_effect_parameters(function), told)


def current_effect() -> Effect:
    """The effect whose function is running; its `key` is what a service deduplicates by.

    Raises:
        RuntimeError: outside an effect.
    """
    found = _current.get()
    if found is None:
        raise RuntimeError("current_effect() was called outside of a function that @effect declares")
    return found


def commit_effects() -> None:
    """The point of no return: when the node that calls this has ended well, no effect that is done by then is undone any more.

    For nodes and tools. Outside of Perdure there is nothing to undo, and this does nothing; in your own workflows it is
    `Saga.commit()`.

    Raises:
        RuntimeError: in a `@task` or an effect: the node that calls it decides.
    """
    caller = effect_caller.get()
    if caller is not None:
        caller.commit()


@overload
def effect(function: _F, /) -> _F: ...


@overload
def effect(
    *,
    undo: Callable[..., Any] | None = None,
    check: Callable[..., Any] | None = None,
    in_doubt: InDoubt | None = None,
    retry: RetryPolicy | None = None,
    timeout: timedelta | None = None,
    undo_retry: RetryPolicy | None = None,
    undo_timeout: timedelta = timedelta(minutes=2),
    undo_parallel: bool = False,
    name: str | None = None,
) -> Callable[[_F], _F]: ...


def effect(function: Any = None, /, **options: Any) -> Any:
    """Declare that a function or tool changes the world. Under or over LangChain's `@tool`, on tools and on nodes.

        @tool
        @effect(undo=refund, check=find_charge, in_doubt="check")
        async def charge(order: str, amount: int) -> str:
            answer = await client.post("/charges", headers={"Idempotency-Key": current_effect().key}, json=...)

    In Perdure each call is an activity of its own, under a key that does not change; its undo is registered before it
    starts, and runs when the run fails or is cancelled.

    Args:
        undo: takes it back. It is given what it names among the effect's own parameters, `result` (what the effect
            returned; `None` if that is not known: it may not have happened) and `key`. It must be able to find nothing to do.
        check: tells whether the effect happened: its result, or `None`. It is given the effect's parameters and `key`.
        in_doubt: see the module; "check" if there is a `check`, else "retry".
        retry: of the effect; default `TOOL_RETRY`. It must be finite, as `undo_retry` (default `UNDO_RETRY`).
        timeout: of one attempt; default: the node's.
        undo_timeout: of one attempt of the undo.
        undo_parallel: the undo may run at the same time as those of the effects before and after it that say so, too.
        name: default: the function's. Two effects of one function need two names.

    Raises:
        TypeError: for what is not a function or tool, or an undo or check that asks for a parameter there is not.
        ValueError: for a policy that could never work.
    """
    if function is not None:
        return _declared(function, {})
    return functools.partial(_declared, options=options)


def effect_spec(value: Any) -> EffectSpec | None:
    """The declaration on a function or tool."""
    if isinstance(value, StructuredTool):
        return effect_spec(value.coroutine) or effect_spec(value.func)
    return getattr(value, _MARK, None)


def bound_call(spec: EffectSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by parameter name."""
    bound = inspect.signature(spec.function).bind_partial(*args, **kwargs)
    bound.apply_defaults()
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        elif kind is not inspect.Parameter.VAR_POSITIONAL:
            named[name] = value
    return named


def picked(function: Callable[..., Any], known: dict[str, Any]) -> dict[str, Any]:
    """What of `known` an undo or check asks for."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return known
    return {p.name: known[p.name] for p in parameters if p.name in known}


def _declared(value: Any, options: dict[str, Any]) -> Any:
    if isinstance(value, StructuredTool):
        func, coroutine = value.func, value.coroutine
        own = dict(options)
        own.setdefault("name", value.name)
        return value.model_copy(
            update={
                "func": _wrapped(_spec(func, own)) if func is not None else None,
                "coroutine": _wrapped(_spec(coroutine, own)) if coroutine is not None else None,
            }
        )
    if isinstance(value, BaseTool) or not callable(value):
        raise TypeError(
            f"@effect goes on a function or a tool made of one, not on a {type(value).__name__}: {value!r}"
        )
    return _wrapped(_spec(value, options))


def _spec(
    function: Callable[..., Any],
    options: dict[str, Any],
) -> EffectSpec:
    given = {key: value for key, value in options.items() if value is not None}
    check, undo = given.pop("check", None), given.pop("undo", None)
    spec = EffectSpec(
        function=function,
        name=given.pop("name", None) or function.__name__,
        undo=undo,
        check=check,
        in_doubt=given.pop("in_doubt", "check" if check else "retry"),
        retry=given.pop("retry", TOOL_RETRY),
        timeout=given.pop("timeout", None),
        undo_retry=given.pop("undo_retry", UNDO_RETRY),
        undo_timeout=given.pop("undo_timeout", timedelta(minutes=2)),
        undo_parallel=given.pop("undo_parallel", False),
    )
    if given:
        raise TypeError(f"effect() has no option {next(iter(given))!r}")
    _check(spec)
    return spec


def _check(spec: EffectSpec) -> None:
    if spec.in_doubt not in get_args(InDoubt):
        raise ValueError(
            f"effect(in_doubt=...) must be one of {', '.join(get_args(InDoubt))}, not {spec.in_doubt!r}"
        )
    if spec.in_doubt == "check" and spec.check is None:
        raise ValueError(f'effect {spec.name!r} has in_doubt="check" and no check=')
    for name, retry in (("retry", spec.retry), ("undo_retry", spec.undo_retry)):
        if retry.maximum_attempts < 1:
            raise ValueError(f"effect({name}=...) must be finite: set RetryPolicy(maximum_attempts=...)")
    own = inspect.signature(spec.function).parameters
    for role, function in (("undo", spec.undo), ("check", spec.check)):
        for parameter in inspect.signature(function).parameters.values() if function else ():
            needed = parameter.default is inspect.Parameter.empty and parameter.kind not in (
                inspect.Parameter.VAR_KEYWORD,
                inspect.Parameter.VAR_POSITIONAL,
            )
            if needed and parameter.name not in own and parameter.name not in _OWN:
                raise TypeError(
                    f"the {role} of effect {spec.name!r} asks for {parameter.name!r}: there are "
                    f"{', '.join([*own, 'result', 'key'])}"
                )


def _wrapped(spec: EffectSpec) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(spec.function):

        @functools.wraps(spec.function)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            caller = effect_caller.get()
            if caller is None:
                return await spec.run(_alone(spec, args, kwargs), args, kwargs)
            return await caller.call(spec, args, kwargs)

        wrapper: Callable[..., Any] = asynchronous
    else:

        @functools.wraps(spec.function)
        def synchronous(*args: Any, **kwargs: Any) -> Any:
            caller = effect_caller.get()
            if caller is None:
                return _directly(spec, args, kwargs)
            return _from_thread(caller, spec, args, kwargs)

        wrapper = synchronous
    setattr(wrapper, _MARK, spec)
    if hidden := _effect_parameters(spec.function):
        _hide(wrapper, spec.function, hidden)
    return wrapper


def _directly(spec: EffectSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    told = _alone(spec, args, kwargs)
    token = _current.set(told)
    try:
        return spec.function(*args, **kwargs, **dict.fromkeys(_effect_parameters(spec.function), told))
    finally:
        _current.reset(token)


def _from_thread(
    caller: EffectCaller, spec: EffectSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is not None:
        raise RuntimeError(
            f"effect {spec.name!r} is a sync function and was called from async code, which would block it for ever: "
            "make it `async def`, or call it with `await asyncio.to_thread(...)`"
        )
    return asyncio.run_coroutine_threadsafe(caller.call(spec, args, kwargs), caller.loop).result()


def _alone(spec: EffectSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Effect:
    """A call without Perdure: in an activity of somebody's own workflow the key belongs to the activity and the arguments, so
    that each attempt has the same; elsewhere each call has its own."""
    if not activity.in_activity():
        return Effect(key=uuid.uuid4().hex, name=spec.name)
    info = activity.info()
    payload = activity.payload_converter().to_payload([list(args), kwargs])
    told = "\n".join([info.workflow_id or "", info.activity_id, spec.id])
    key = hashlib.sha256(told.encode() + payload.data).hexdigest()[:32]
    return Effect(key=key, name=spec.name, attempt=info.attempt, in_doubt=info.attempt > 1)


def _effect_parameters(function: Callable[..., Any]) -> list[str]:
    """The parameters that want the `Effect`."""
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.annotation is Effect or parameter.annotation == "Effect"
    ]


def _hide(wrapper: Callable[..., Any], function: Callable[..., Any], names: list[str]) -> None:
    """A model that is to call the tool must not see them."""
    signature = inspect.signature(function)
    kept = [p for name, p in signature.parameters.items() if name not in names]
    target = cast("Any", wrapper)
    target.__signature__ = signature.replace(parameters=kept)
    target.__annotations__ = {k: v for k, v in function.__annotations__.items() if k not in names}
    del target.__wrapped__


async def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
