"""What an attempt of a node says while it runs: tokens of its models, and events of its own.

Side: activities. Tokens never enter the history. An attempt that is not the first says so, for whoever has shown what the one
before it said; the messages of each attempt have ids of their own.

| stream mode      | events                                                                                       |
|------------------|----------------------------------------------------------------------------------------------|
| `messages`       | `messages/metadata` once per message, then `messages/partial` (all of it so far) or `messages/complete` |
| `messages-tuple` | `messages`: the chunk and its metadata                                                       |
| `custom`         | `custom`: what the node gives to its stream writer                                           |
| `speech`         | `speech`: messages as LangChain's agent protocol tells them                                  |
| `tools`          | `tools`: calls of tools, likewise                                                            |
| `events`         | `events`: as LangChain's `astream_events` tells them                                         |
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, BaseMessageChunk, message_chunk_to_message
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from temporalio import activity

from perdure._compat import CONFIG_KEY_CHECKPOINT_NS, NS_SEP, StreamMessagesHandler, StreamToolCallHandler
from perdure.activities.node_events import NodeEvents
from perdure.activities.speech import Speech
from perdure.contract.node import NodeCall, NodeInput
from perdure.streams.broker import Broker
from perdure.streams.wire import to_json

__all__ = ["Telling"]


class Telling:
    """One attempt's. Without a broker, or where nobody asked, it says nothing."""

    def __init__(self, call: NodeCall, broker: Broker | None) -> None:
        self._call = call
        self._broker = broker if call.stream else None
        self._whole: dict[str, BaseMessage] = {}
        self._handler: StreamMessagesHandler | None = None
        self._events: NodeEvents | None = None
        self._speech = Speech() if "speech" in call.stream else None
        if self._broker is not None and {"messages", "messages-tuple", "speech"} & set(call.stream):
            self._handler = StreamMessagesHandler(self._message, "subgraphs" in call.stream)
            if (attempt := activity.info().attempt) > 1:
                told = {"node": call.path[-1], "step": call.step, "attempt": attempt}
                self._publish("messages/retry", (), told)

    def attached(self, config: RunnableConfig, given: NodeInput) -> RunnableConfig:
        """The config with what listens to models in it."""
        handlers: list[BaseCallbackHandler] = [self._handler] if self._handler else []
        if self._broker is not None and "tools" in self._call.stream:
            handlers.append(StreamToolCallHandler(self._tool, "subgraphs" in self._call.stream))
        if self._broker is not None and "events" in self._call.stream:
            self._events = NodeEvents(
                partial(self._publish, "events", ()), run=self._call.run, node=self._call.path[-1]
            )
            self._events.begin(given.value, config.get("metadata", {}))
            handlers.append(self._events)
        return merge_configs(config, {"callbacks": handlers}) if handlers else config

    def writer(self, given: NodeInput) -> Callable[[Any], None] | None:
        """For the node's custom events."""
        if self._broker is None or "custom" not in self._call.stream:
            return None
        namespace = str(given.config["configurable"].get(CONFIG_KEY_CHECKPOINT_NS, ""))
        return lambda event: self._publish("custom", tuple(namespace.split(NS_SEP)[:-1]), event)

    def output(self, given: NodeInput, output: Any) -> None:
        """Messages that the node returns without a model having said them."""
        metadata: dict[str, Any] = given.config.get("metadata", {})
        self._finish_speech()
        if self._events is not None:
            self._events.end(given.value, output)
        if self._handler is None or output is None or "langgraph_checkpoint_ns" not in metadata:
            return
        # As LangGraph's own run of the node would report its start and end.
        run_id, name = uuid.uuid4(), metadata.get("langgraph_node")
        self._handler.on_chain_start({}, given.value, run_id=run_id, metadata=metadata, name=name)
        self._handler.on_chain_end(output, run_id=run_id)

    def _message(self, part: tuple[tuple[str, ...], str, Any]) -> None:
        namespace, _, (message, metadata) = part
        if self._speech is not None:
            for event in self._speech.hear(message, namespace):
                self._publish("speech", namespace, event)
        if "messages-tuple" in self._call.stream:
            self._publish("messages", namespace, [message, metadata])
        if "messages" not in self._call.stream:
            return
        name = str(message.id)
        known = self._whole.get(name)
        if known is None:
            self._whole[name] = message
            self._publish("messages/metadata", (), {name: {"metadata": metadata}})
        elif isinstance(known, BaseMessageChunk) and isinstance(message, BaseMessageChunk):
            self._whole[name] = known + message
        whole = self._whole[name]
        if isinstance(whole, BaseMessageChunk):
            self._publish("messages/partial", (), [message_chunk_to_message(whole)])
        else:
            self._publish("messages/complete", (), [whole])

    def _finish_speech(self) -> None:
        """Messages that the node returns are told with the state's values, not as speech."""
        if self._speech is not None:
            for namespace, event in self._speech.finish():
                self._publish("speech", namespace, event)
            self._speech = None

    def _tool(self, part: tuple[tuple[str, ...], str, Any]) -> None:
        namespace, _, told = part
        self._publish("tools", namespace, told)

    def _publish(self, event: str, namespace: tuple[str, ...], data: Any) -> None:
        if self._broker is not None:
            inside = namespace if "subgraphs" in self._call.stream else ()
            self._broker.publish(
                activity.info().workflow_id or "",
                self._call.run,
                NS_SEP.join((event, *inside)),
                to_json(data),
            )
