"""What runs say while they go on, from where they run to whoever listens. Either side.

Nothing here is the truth: that is the thread's state. A stream that is lost costs what was seen of it, and nothing else.
"""

from perdure.streams.broker import Broker, StreamEvent
from perdure.streams.memory import MemoryBroker
from perdure.streams.setting import BROKER_VARIABLE, broker_at, configured_broker

__all__ = ["BROKER_VARIABLE", "Broker", "MemoryBroker", "StreamEvent", "broker_at", "configured_broker"]
