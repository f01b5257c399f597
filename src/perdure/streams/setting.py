"""Where runs tell what they do, as the environment says. Side: both."""

from __future__ import annotations

import importlib
import os
from typing import cast

from perdure.errors import ConfigError
from perdure.streams.broker import Broker

__all__ = ["BROKER_VARIABLE", "broker_at", "configured_broker"]

BROKER_VARIABLE = "PERDURE_BROKER"
"""The environment variable: "redis://host:6379", also "rediss://" and "unix://"."""


def broker_at(address: str) -> Broker:
    """Raises ConfigError for an address that is none, and when the package is missing."""
    try:
        module = importlib.import_module("perdure.streams.redis")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a broker in Redis needs the package {error.name!r}: install perdure[redis]"
        ) from error
    return cast("Broker", module.RedisBroker(address))


def configured_broker() -> Broker | None:
    """That of the environment, if it names one."""
    address = os.environ.get(BROKER_VARIABLE)
    return broker_at(address) if address else None
