"""Dev server side: what a dev server is asked to be, and the command line that says so to Temporal.

Owns Perdure's tuning. Nothing here starts anything.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType

from perdure.devserver.ports import HOST, Ports

# The defaults suit a fleet. For one agent on one machine they are the bottleneck: 20 queue reads a second
# cap it at about 20 steps a second, and every timer and retry waits at least 1 s whatever was asked for.
_TUNING: Mapping[str, object] = {
    "history.transferProcessorMaxPollRPS": 1000,
    "history.timerProcessorMaxPollRPS": 1000,
    "history.visibilityProcessorMaxPollRPS": 1000,
    "history.timerProcessorMaxTimeShift": "10ms",
}
_PRAGMAS = ("journal_mode=wal", "synchronous=1")


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The part of a server's settings that stays the same over restarts.

    Raises:
        ValueError: a search attribute's type does not exist, or a dynamic config value is not JSON.
    """

    namespace: str
    database: Path | None
    search_attributes: Mapping[str, str]
    dynamic_config: Mapping[str, object]

    def __post_init__(self) -> None:
        for name, kind in self.search_attributes.items():
            if kind not in search_attribute_types():
                raise ValueError(
                    f"Search attribute {name!r} has unknown type {kind!r}. "
                    f"Fix: use one of {', '.join(sorted(search_attribute_types()))}."
                )
        for key, value in self.dynamic_config.items():
            try:
                json.dumps(value)
            except TypeError as error:
                raise ValueError(f"Dynamic config {key!r} is {value!r}. Fix: give a JSON value.") from error

    def command(self, binary: Path, ports: Ports) -> list[str]:
        """The command line that starts this server on these ports."""
        command = [str(binary), "server", "start-dev", "--ip", HOST, "--log-level", "warn"]
        command += ["--port", str(ports.grpc), "--ui-port", str(ports.ui), "--http-port", str(ports.http)]
        command += ["--namespace", self.namespace]
        if self.database is not None:
            command += ["--db-filename", str(self.database)]
            for pragma in _PRAGMAS:
                command += ["--sqlite-pragma", pragma]
        for key, value in {**_TUNING, **self.dynamic_config}.items():
            command += ["--dynamic-config-value", f"{key}={json.dumps(value)}"]
        return command


def search_attribute_types() -> dict[str, IndexedValueType.ValueType]:
    """Temporal's names of the types, such as KeywordList, to the numbers on the wire."""
    return {
        name.removeprefix("INDEXED_VALUE_TYPE_").title().replace("_", ""): number
        for name, number in IndexedValueType.items()
        if number != IndexedValueType.INDEXED_VALUE_TYPE_UNSPECIFIED
    }
