"""The types that every registry knows, with their short names. Either side; owns the built-in allow-list.

Invariant: names here hold no dot, names of users' types always do, so the two can never collide.
"""

import builtins
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from langchain_core import agents, documents, messages, outputs, prompt_values
from langchain_core.outputs import RunInfo
from langgraph import errors as langgraph_errors
from langgraph import types as langgraph_types
from langgraph.store.base import GetOp, Item, SearchItem
from pydantic import networks

from perdure import errors

__all__ = ["EXCEPTION_CLASSES", "FAMILIES"]


def _classes(source: object, names: Iterable[str]) -> dict[str, type]:
    """The classes that `source` has under `names`: an older or newer release may lack one."""
    found = ((name, getattr(source, name, None)) for name in names)
    return {name: value for name, value in found if isinstance(value, type)}


_MESSAGES = [
    base + suffix
    for base in (
        "BaseMessage",
        "HumanMessage",
        "AIMessage",
        "SystemMessage",
        "ToolMessage",
        "ChatMessage",
        "FunctionMessage",
    )
    for suffix in ("", "Chunk")
]
_OUTPUTS = (
    "Generation",
    "GenerationChunk",
    "ChatGeneration",
    "ChatGenerationChunk",
    "ChatResult",
    "LLMResult",
)
_PROMPTS = ("StringPromptValue", "ChatPromptValue", "ChatPromptValueConcrete", "ImagePromptValue")
_GRAPH = (
    "Command",
    "Send",
    "Interrupt",
    "Overwrite",
    "TimeoutPolicy",
    "StateSnapshot",
    "StateUpdate",
    "PregelTask",
    "GraphOutput",
    "CacheKey",
)
_URLS = (
    "AnyUrl",
    "AnyHttpUrl",
    "AnyWebsocketUrl",
    "FileUrl",
    "FtpUrl",
    "HttpUrl",
    "WebsocketUrl",
)

FAMILIES: Mapping[str, type] = MappingProxyType(
    {
        **_classes(messages, [*_MESSAGES, "RemoveMessage"]),
        **_classes(documents, ("Document",)),
        **_classes(outputs, _OUTPUTS),
        **_classes(prompt_values, _PROMPTS),
        **_classes(agents, ("AgentAction", "AgentActionMessageLog", "AgentFinish", "AgentStep")),
        **_classes(langgraph_types, _GRAPH),
        **_classes(networks, _URLS),
        "GetOp": GetOp,
        "Item": Item,
        "RunInfo": RunInfo,
        "SearchItem": SearchItem,
    }
)
"""Short name → class, for the LangChain, LangGraph and Pydantic types that are always allowed."""


def _exceptions(source: object) -> dict[str, type[BaseException]]:
    found = (value for value in vars(source).values() if isinstance(value, type))
    return {value.__name__: value for value in found if issubclass(value, BaseException)}


EXCEPTION_CLASSES: Mapping[str, type[BaseException]] = MappingProxyType(
    {**_exceptions(langgraph_errors), **_exceptions(errors), **_exceptions(builtins)}
)
"""Short name → exception class that is always revived as itself."""
