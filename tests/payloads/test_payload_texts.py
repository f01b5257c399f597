"""Long texts of every kind come back exactly, stay JSON for others, and what is cut off or damaged is a clear error."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from perdure.errors import PayloadError
from perdure.payloads import TypeRegistry, dumps, loads

REGISTRY = TypeRegistry()

PIECES = {
    "prose": "All happy families are alike. ",
    "lines": "line\r\n\tindented\n",
    "JSON": '[{"name": "a \\"b\\"", "price": 1}]',
    "JSON in JSON": json.dumps(json.dumps({"path": "C:\\new\\table", "say": '"hi"'})),
    "backslashes": "\\" * 7,
    "quotes": '"' * 7,
    "controls": "".join(map(chr, range(0x20))) + "\x7f",
    "NUL": "\x00",
    "Latin": "größer ÿ",
    "beyond Latin": "世界\u2028\u2029\ufeff",
    "beyond 16 bits": "👋\U0010ffff",
    "lone surrogates": "a\ud800b\udfff",
    "looks escaped": "\\ud83d\\ude00\\u0000\\n",
}
# About the sizes of parsers' blocks and buffers.
LENGTHS = (1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 4095, 4096, 4097, 65_537)

DAMAGED = [
    ToolMessage(
        '[{"a": "\\u00e9"}]', tool_call_id="c1", id="t1", artifact={"at": datetime(2026, 1, 31, tzinfo=UTC)}
    ),
    AIMessage(
        "é\n",
        id="a1",
        tool_calls=[{"name": "f", "args": {"n": [1, Decimal("1.5")]}, "id": "c2"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    ),
    {1: {"a", b"\x00"}, "id": UUID(int=7), "big": 10**30, "error": ValueError("no", 1)},
]


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_a_text_of_any_length_comes_back_exactly(piece):
    for length in LENGTHS:
        text = (piece * (length // len(piece) + 1))[:length]
        message = ToolMessage(text, tool_call_id="c1", id="t1")
        value = {text: [text, (text,)], "message": message}
        data = dumps(value, REGISTRY)
        assert loads(data, REGISTRY) == value
        # Whoever has no Perdure reads the same text.
        assert json.loads(data)["message"]["content"] == text
        assert loads(dumps(text, REGISTRY), REGISTRY, str) == text


def test_a_payload_that_was_cut_off_is_a_clear_error():
    data = dumps(DAMAGED, REGISTRY)
    for length in range(len(data)):
        with pytest.raises(PayloadError, match=r"no JSON: .*; was it written with another payload codec\?"):
            loads(data[:length], REGISTRY)


def test_a_damaged_payload_is_a_value_or_a_clear_error():
    data = dumps(DAMAGED, REGISTRY)
    for place in range(len(data)):
        for byte in b'"\\{[,:0e-\x00\x80\xff':
            try:
                loads(data[:place] + bytes([byte]) + data[place + 1 :], REGISTRY)
            except PayloadError as error:
                assert ";" in str(error)  # noqa: PT017 - the fix; most damage goes unseen, in a text
