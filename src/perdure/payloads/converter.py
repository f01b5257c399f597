"""The payload converter for Temporal. Either side; owns nothing but the wiring.

| value                | encoding          | as Temporal's default |
|----------------------|-------------------|-----------------------|
| None                 | `binary/null`     | yes                   |
| bytes                | `binary/plain`    | yes                   |
| protobuf message     | `json/protobuf`   | yes                   |
| everything else      | `json/plain`      | see `codec`           |

The encoding stays `json/plain`, so that the Temporal UI, its CLI and other clients show payloads as JSON.
"""

from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    PayloadConverter,
)

from perdure.payloads.codec import dumps, loads
from perdure.payloads.registry import TypeRegistry

__all__ = ["data_converter", "payload_converter_class"]


class _TypedJSONConverter(EncodingPayloadConverter):
    def __init__(self, registry: TypeRegistry, *, lenient: bool) -> None:
        self._registry = registry
        self._lenient = lenient

    @property
    def encoding(self) -> str:
        return "json/plain"

    def to_payload(self, value: Any) -> Payload:
        return Payload(metadata={"encoding": b"json/plain"}, data=dumps(value, self._registry))

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        return loads(payload.data, self._registry, type_hint, lenient=self._lenient)


def payload_converter_class(registry: TypeRegistry, *, lenient: bool = False) -> type[PayloadConverter]:
    """A payload converter class without constructor arguments, as Temporal instantiates it.

    Args:
        registry: the types that payloads may carry by name.
        lenient: show values of unknown types as dicts that keep their `$type`; for clients that only display.
    """

    ours = _TypedJSONConverter(registry, lenient=lenient)
    defaults = DefaultPayloadConverter.default_encoding_payload_converters
    # Once: the SDK makes a converter several times for each activity.
    shared = CompositePayloadConverter(
        *(ours if isinstance(converter, JSONPlainPayloadConverter) else converter for converter in defaults)
    ).converters

    class PerdurePayloadConverter(CompositePayloadConverter):
        def __init__(self) -> None:
            self.converters = shared

    return PerdurePayloadConverter


def data_converter(registry: TypeRegistry, *, lenient: bool = False) -> DataConverter:
    """A Temporal data converter for clients and workers; see `payload_converter_class`."""
    return DataConverter(payload_converter_class=payload_converter_class(registry, lenient=lenient))
