"""The client: start, watch, answer and cancel runs, from any process."""

from __future__ import annotations

from perdure.client.client import PerdureClient
from perdure.client.connect import connect
from perdure.client.handle import RunHandle

__all__ = ["PerdureClient", "RunHandle", "connect"]
