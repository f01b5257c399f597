"""Properties that hold for any nesting of the supported values, and in every process."""

import os
import subprocess
import sys
from collections import deque
from datetime import UTC

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import PayloadNotSerializable
from perdure.payloads import TypeRegistry, decode, dumps, encode, loads, summary

REGISTRY = TypeRegistry()

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.uuids()
    | st.dates()
    | st.timedeltas()
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.decimals(allow_nan=False),
    lambda children: st.tuples(children, children) | st.frozensets(children, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(["$type", "$unset", "$extra", "items", "value", ""]) | st.text(max_size=3)
values = st.recursive(
    hashable,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(keys, children, max_size=3)
        | st.dictionaries(hashable, children, max_size=3)
        | st.sets(hashable, max_size=3)
        | st.lists(children, max_size=3).map(tuple)
        | st.lists(children, max_size=3).map(deque)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(values)
def test_any_nesting_comes_back_exactly(value):
    # repr also tells 1 from True, and -0.0 from 0.0; sets are compared by equality.
    back = decode(encode(value, REGISTRY), REGISTRY)
    assert back == value
    data = dumps(value, REGISTRY)
    assert loads(data, REGISTRY) == value
    assert dumps(loads(data, REGISTRY), REGISTRY) == data


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=20))
def test_any_text_comes_back_or_is_refused(value):
    try:
        data = dumps({value: value}, REGISTRY)
    except PayloadNotSerializable:
        return
    assert loads(data, REGISTRY) == {value: value}


@settings(deadline=None)
@given(values)
def test_any_value_has_a_one_line_summary(value):
    line = summary(value)
    assert len(line) <= 120
    assert "\n" not in line


@settings(deadline=None)
@given(values)
def test_the_encoded_form_is_json(value):
    encoded = encode(value, REGISTRY)
    if not _has_big_number(encoded):
        orjson.dumps(encoded)


def _has_big_number(value):
    if isinstance(value, dict):
        return any(map(_has_big_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_big_number, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


PROGRAM = """
from langchain_core.messages import AIMessage
from perdure.errors import PayloadNotSerializable
from perdure.payloads import TypeRegistry, dumps
words = "the quick brown fox jumps over a lazy dog".split()
value = [
    set(words), frozenset(enumerate(words)), {"k": {(w, 1) for w in words}}, {frozenset(words): 1},
    AIMessage("x", additional_kwargs={"set": set(words)}),
]
print(dumps(value, TypeRegistry()).decode())
"""


def test_the_same_value_gives_the_same_bytes_in_every_process():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(outputs) == 1


def test_decoding_imports_nothing():
    program = (
        "import sys\n"
        "from perdure.errors import PayloadTypeUnknown\n"
        "from perdure.payloads import TypeRegistry, loads\n"
        "before = set(sys.modules)\n"
        "for name in ('wave.Wave_read', 'this.Foo', 'os.system', 'builtins.eval'):\n"
        "    for hint in (None, dict):\n"
        "        try:\n"
        '            loads(b\'[{"$type": "%s"}]\' % name.encode(), TypeRegistry(), hint)\n'
        "        except PayloadTypeUnknown as error:\n"
        "            assert name in str(error)\n"
        "        else:\n"
        "            raise SystemExit('revived ' + name)\n"
        'error = loads(b\'{"$type": "Exception", "class": "wave.Error", "message": "m", "args": []}\', '
        "TypeRegistry())\n"
        "assert type(error).__name__ == 'RemoteError'\n"
        "assert not {'wave', 'this'} & (set(sys.modules) - before)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
