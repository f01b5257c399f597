"""Payloads that a person can read and that restore the exact type. Either side.

Safe to use inside a workflow: no clock, no randomness, no imports at call time.
"""

from perdure.payloads.codec import decode, dumps, encode, loads
from perdure.payloads.converter import data_converter, payload_converter_class
from perdure.payloads.preview import summary
from perdure.payloads.registry import TypeRegistry

__all__ = [
    "TypeRegistry",
    "data_converter",
    "decode",
    "dumps",
    "encode",
    "loads",
    "payload_converter_class",
    "summary",
]
