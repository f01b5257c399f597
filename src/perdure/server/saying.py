"""The text that a run's models say, from its events, each piece once. Side: server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

from perdure.server.agents import message_text

__all__ = ["Said"]


@dataclass
class Said:
    """What was told of each message. A call that is tried again tells its text anew: what was told is not told twice."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    again: dict[str, str] = field(default_factory=dict[str, str])

    def more(self, written: bytes) -> str:
        event, data = _event(written)
        if event == "messages/retry":
            self.again = dict.fromkeys(self.texts, "")
        if event.partition("|")[0] != "messages" or not isinstance(data, list) or not data:
            return ""
        message = cast("dict[str, Any]", cast("list[Any]", data)[0])
        text = message_text(message)
        if message.get("type") not in ("ai", "AIMessageChunk") or not text:
            return ""
        name = str(message.get("id"))
        apart = "\n\n" if self.texts and name not in self.texts else ""
        known = self.texts.get(name, "")
        if message["type"] == "ai":  # whole
            self.texts[name] = text
            return apart + text.removeprefix(known) if text.startswith(known) else ""
        if name in self.again:
            self.again[name] += text
            if len(self.again[name]) <= len(known):
                return ""
            text = self.again.pop(name)[len(known) :]
        self.texts[name] = known + text
        return apart + text


def _event(written: bytes) -> tuple[str, Any]:
    fields = dict(line.split(b": ", 1) for line in written.split(b"\r\n") if b": " in line[:8])
    data = fields.get(b"data")
    return fields.get(b"event", b"").decode(), None if data is None else json.loads(data)
