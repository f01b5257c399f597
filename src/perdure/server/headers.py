"""Which of a request's headers its runs are told: `http.configurable_headers` of `langgraph.json`.

Side: server. None, where nothing is said; never what authenticates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["HeaderPatterns"]

_NEVER = ("authorization", "x-api-key", "x-service-key", "x-tenant-id")


class HeaderPatterns:
    """Names with `*`, in lower case. `exclude` wins."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = [_pattern(name) for name in include]
        self._exclude = [_pattern(name) for name in exclude]

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
        """The ones that runs are told."""
        if not self._include:
            return {}
        named = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)
        return {name: value for name, value in named if self._told(name)}

    def _told(self, name: str) -> bool:
        if name in _NEVER or any(pattern.fullmatch(name) for pattern in self._exclude):
            return False
        return any(pattern.fullmatch(name) for pattern in self._include)


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in name.lower().split("*")), re.DOTALL)
