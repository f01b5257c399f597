"""LangChain's private pieces that tell what models do, as events, in this one file. Either side.

`tests/activities/test_speech.py` compares what they make of chunks with LangChain's own conversion of a whole stream.
"""

from __future__ import annotations

from langchain_core.language_models._compat_bridge import (
    _accumulate as accumulate,  # pyright: ignore[reportPrivateUsage]
)
from langchain_core.language_models._compat_bridge import (
    _build_message_finish as message_finish,  # pyright: ignore[reportPrivateUsage]
)
from langchain_core.language_models._compat_bridge import (
    _build_message_start as message_start,  # pyright: ignore[reportPrivateUsage]
)
from langchain_core.language_models._compat_bridge import (
    _finalize_and_build_finish as block_finish,  # pyright: ignore[reportPrivateUsage]
)
from langchain_core.language_models._compat_bridge import (
    _iter_protocol_blocks as blocks_of,  # pyright: ignore[reportPrivateUsage]
)
from langchain_core.language_models._compat_bridge import (
    _start_skeleton as skeleton,  # pyright: ignore[reportPrivateUsage]
)
from langchain_core.language_models._compat_bridge import (
    _to_content_delta as content_delta,  # pyright: ignore[reportPrivateUsage]
)
from langchain_core.language_models._compat_bridge import message_to_events
from langchain_core.tracers.event_stream import (
    _AstreamEventsCallbackHandler as EventsHandler,  # pyright: ignore[reportPrivateUsage]
)

__all__ = [
    "EventsHandler",
    "accumulate",
    "block_finish",
    "blocks_of",
    "content_delta",
    "message_finish",
    "message_start",
    "message_to_events",
    "skeleton",
]
