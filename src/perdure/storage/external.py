"""Where large payloads are kept, by setting. Either side.

| setting                        | payloads over 256 KiB are kept               |
|--------------------------------|----------------------------------------------|
| `file:///folder`               | in that folder                               |
| `s3://bucket` or `.../prefix`  | in that bucket (`perdure[s3]`)               |
| `none`, or nothing             | nowhere: one over 1.9 MB is refused          |

The setting is the argument `payloads=`, else the environment variable `PERDURE_PAYLOADS`. All processes of a namespace need
the same one. The threshold is the SDK's own: smaller values stay readable in the Temporal UI, and a few hundred of them
fit into one history.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import (
    DataConverter,
    ExternalStorage,
    StorageDriver,
    StorageDriverSelectContext,
)

from perdure.errors import ConfigError
from perdure.payloads.limits import INLINE_BYTES, PAYLOADS_VARIABLE, STORED_BYTES, check_parts, check_size
from perdure.storage.folder import FOLDER_DRIVER, FolderDriver
from perdure.storage.unreadable import UnconfiguredDriver

__all__ = ["check_storage", "external_storage", "sendable", "size_limit"]

_FORMS = "'file:///folder', 's3://bucket/prefix' or 'none'"
# The names by which claims refer to their driver, with an example of the setting that leads to it.
_KNOWN = {FOLDER_DRIVER: "file:///folder", "aws.s3driver": "s3://bucket"}


def external_storage(setting: str | ExternalStorage | None = None) -> ExternalStorage:
    """Temporal's external storage for a setting; `None` takes it from the environment.

    Raises:
        ConfigError: for a setting that is none, or whose extra is not installed.
    """
    if isinstance(setting, ExternalStorage):
        return setting
    if setting is None:
        setting = os.environ.get(PAYLOADS_VARIABLE, "")
    driver = _driver(setting.strip())
    others = [UnconfiguredDriver(n, e) for n, e in _KNOWN.items() if driver is None or driver.name() != n]
    drivers: list[StorageDriver] = [*([driver] if driver else []), *others]

    def select(_context: StorageDriverSelectContext, _payload: Payload) -> StorageDriver | None:
        return driver

    return ExternalStorage(drivers, driver_selector=select)


def check_storage(storage: ExternalStorage | None) -> None:
    """Raises ConfigError when a storage of ours cannot be written to. It blocks, for seconds at most."""
    for driver in storage.drivers if storage is not None else ():
        check: Any = getattr(driver, "check", None)
        if check is not None:
            check()


def size_limit(converter: DataConverter) -> int:
    """How many bytes one payload may have, with this data converter."""
    storage = converter.external_storage
    stores = storage is not None and not all(isinstance(d, UnconfiguredDriver) for d in storage.drivers)
    return STORED_BYTES if stores else INLINE_BYTES


def sendable(value: Any, what: str, converter: DataConverter, *, parts: Any = None) -> RawValue:
    """`value` as a payload that Temporal takes and a workflow can read; arguments as for `check_size`.

    Raises:
        PayloadTooLarge: when it is over a limit.
    """
    check_parts(value, what)
    reader = converter.payload_converter
    payload = reader.to_payload(value)
    return RawValue(check_size(payload, what, limit=size_limit(converter), converter=reader, parts=parts))


def _driver(setting: str) -> StorageDriver | None:
    if setting in ("", "none"):
        return None
    url = urlsplit(setting)
    if url.scheme == "file" and url.netloc in ("", "localhost") and url.path.startswith("/"):
        return FolderDriver(Path(unquote(url.path)))
    if url.scheme == "s3" and url.netloc:
        try:
            module = importlib.import_module("perdure.storage.s3")
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{PAYLOADS_VARIABLE}={setting!r} needs the package {error.name!r}: install perdure[s3]"
            ) from error
        return module.S3Driver(url.netloc, prefix=url.path)
    raise ConfigError(f"{PAYLOADS_VARIABLE} is {setting!r}: write {_FORMS}")
