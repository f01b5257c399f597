"""Large payloads in a bucket, over the real protocol, against a server on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from perdure.errors import ConfigError, RunFailed
from perdure.storage.external import check_storage, external_storage
from perdure.testing import PerdureEnvironment

boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")

SIZE = 3_000_000


class State(TypedDict):
    value: Any


def graph() -> Any:
    builder = StateGraph(State)
    builder.add_node("swap", lambda state: {"value": state["value"].upper()})
    builder.add_edge(START, "swap")
    return builder.compile()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A new bucket, in AWS's own configuration."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource("s3").create_bucket(Bucket="payloads")
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


def keys_of(bucket: Any) -> list[str]:
    return [entry.key for entry in bucket.objects.all()]


async def test_a_run_with_large_values_keeps_them_in_the_bucket(bucket: Any) -> None:
    setting = "s3://payloads/agents/test"
    async with PerdureEnvironment.start({"g": graph()}, payloads=setting) as env:
        result = await (await env.start("g", {"value": "x" * SIZE}, thread_id="t 1")).result()
    assert result == {"value": "X" * SIZE}
    keys = keys_of(bucket)
    assert keys
    assert all(key.startswith("agents/test/v0/ns/default/wt/perdure.thread/wi/t%201/ri/") for key in keys)


@pytest.mark.parametrize(("damaged", "said"), [(False, "not in its bucket"), (True, "is damaged")])
async def test_an_object_that_is_not_as_it_was_ends_the_run(bucket: Any, damaged: bool, said: str) -> None:
    async with PerdureEnvironment.start({"g": graph()}, payloads="s3://payloads", worker=False) as env:
        run = await env.start("g", {"value": "x" * SIZE})
        for entry in bucket.objects.all():
            _ = entry.put(Body=b"other") if damaged else entry.delete()
        async with env.worker():
            with pytest.raises(RunFailed, match=said) as caught:
                await run.result()
    assert caught.value.cause_type == "PayloadUnreadable"


def test_a_bucket_that_is_not_there_is_refused(bucket: Any) -> None:
    check_storage(external_storage("s3://payloads"))
    with pytest.raises(ConfigError, match="names the bucket 'no-such-bucket', which cannot be used"):
        check_storage(external_storage("s3://no-such-bucket"))


def test_without_the_extra_the_setting_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['aioboto3'] = None\n"
        "from perdure.errors import ConfigError\n"
        "from perdure.storage.external import external_storage\n"
        "try: external_storage('s3://bucket')\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs the package 'aioboto3': install perdure[s3]" in done.stdout
