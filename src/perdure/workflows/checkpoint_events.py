"""A checkpoint as the stream modes `checkpoints` and `debug` tell it. Side: workflow. Pure functions."""

from __future__ import annotations

from typing import Any

from perdure._compat import CONF

__all__ = ["told_checkpoint"]

# What of a config is ours: objects of the workflow, which nobody outside can use.
_OWN = "__perdure"


def told_checkpoint(mode: str, chunk: Any) -> Any:
    """Without what the runner put into the config; `debug` has the checkpoints' places, too, as LangGraph's server has."""
    if mode == "checkpoints":
        return _checkpoint(chunk)
    if mode == "debug" and chunk["type"] == "checkpoint":
        payload = _checkpoint(chunk["payload"])
        places = {
            "checkpoint": _place(payload["config"]),
            "parent_checkpoint": _place(payload.get("parent_config")),
        }
        return {**chunk, "payload": {**payload, **places}}
    return chunk


def _checkpoint(payload: dict[str, Any]) -> dict[str, Any]:
    own = {name: _without_own(payload[name]) for name in ("config", "parent_config") if payload.get(name)}
    return {**payload, **own}


def _without_own(config: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in config.get(CONF, {}).items() if not key.startswith(_OWN)}
    return {**config, CONF: given}


def _place(config: dict[str, Any] | None) -> dict[str, Any] | None:
    if not config:
        return None
    known = config[CONF]
    return {key: known[key] for key in ("thread_id", "checkpoint_ns", "checkpoint_id") if key in known}
