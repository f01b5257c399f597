"""Large payloads in an S3 bucket, by the SDK's own driver. Either side; needs the extra `perdure[s3]`.

Where and who is AWS's own configuration: `AWS_REGION`, `AWS_PROFILE`, `AWS_ENDPOINT_URL_S3` (for MinIO and its like), ...
Objects are `PREFIX/v0/ns/NAMESPACE/wt/perdure.thread/wi/THREAD/ri/RUN/d/sha256/...`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aioboto3
import boto3
from botocore.exceptions import BotoCoreError, ClientError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.aws.s3driver import S3StorageDriver, S3StorageDriverClient
from temporalio.contrib.aws.s3driver.aioboto3 import new_aioboto3_client
from temporalio.converter import StorageDriverClaim, StorageDriverRetrieveContext

from perdure.errors import ConfigError
from perdure.payloads.limits import PAYLOADS_VARIABLE, STORED_BYTES
from perdure.storage.unreadable import PayloadUnreadable

__all__ = ["S3Driver"]

# The payload's metadata come on top of its data.
_MOST_BYTES = STORED_BYTES + 1024 * 1024


class S3Driver(S3StorageDriver):
    """The SDK's driver; what is gone or damaged says so to its reader, instead of holding workflow tasks."""

    def __init__(self, bucket: str, *, prefix: str = "") -> None:
        super().__init__(_Objects(prefix), bucket, max_payload_size=_MOST_BYTES)
        self._name = bucket

    def check(self) -> None:
        """Raises ConfigError when the bucket cannot be used."""
        client: Any = boto3.client("s3")
        try:
            client.head_bucket(Bucket=self._name)
        except (BotoCoreError, ClientError) as error:
            raise ConfigError(
                f"{PAYLOADS_VARIABLE} names the bucket {self._name!r}, which cannot be used ({error}): check its name, "
                "AWS_REGION and the credentials"
            ) from error

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        try:
            return await super().retrieve(context, claims)
        except RuntimeError as error:
            cause = error.__cause__
            if not isinstance(cause, ClientError) or cause.response.get("Error", {}).get("Code") not in _GONE:
                raise
            raise PayloadUnreadable(
                f"a stored payload is not in its bucket any more ({error}): restore the object"
            ) from error
        except ValueError as error:
            raise PayloadUnreadable(f"a stored payload is damaged ({error}): restore the object") from error


_GONE = frozenset({"NoSuchKey", "NoSuchBucket", "404"})


class _Objects(S3StorageDriverClient):
    """Puts the prefix before each key, and opens a client for each call: one that stays would belong to one event loop,
    and nobody would close it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._session = aioboto3.Session()

    async def put_object(self, *, bucket: str, key: str, data: bytes) -> None:
        async with self._client() as client:
            await client.put_object(bucket=bucket, key=self._prefix + key, data=data)

    async def object_exists(self, *, bucket: str, key: str) -> bool:
        async with self._client() as client:
            return await client.object_exists(bucket=bucket, key=self._prefix + key)

    async def get_object(self, *, bucket: str, key: str) -> bytes:
        async with self._client() as client:
            return await client.get_object(bucket=bucket, key=self._prefix + key)

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[S3StorageDriverClient]:
        async with self._session.client("s3") as client:
            yield new_aioboto3_client(client)
