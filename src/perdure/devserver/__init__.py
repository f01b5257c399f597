"""Dev server side: an embedded Temporal server for development, found, tuned, persistent and cleaned up."""

from perdure.devserver.binary import BinaryNotFoundError, TemporalBinary, find_temporal, find_test_server
from perdure.devserver.directory import DirectoryInUseError, ServerInfo, running
from perdure.devserver.process import DevServerError
from perdure.devserver.server import DevServer

__all__ = [
    "BinaryNotFoundError",
    "DevServer",
    "DevServerError",
    "DirectoryInUseError",
    "ServerInfo",
    "TemporalBinary",
    "find_temporal",
    "find_test_server",
    "running",
]
