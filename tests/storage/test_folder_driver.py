"""The folder for large payloads: whole files or none, found by content, and a reason where one is not as it was."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    DataConverter,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from perdure.errors import ConfigError
from perdure.storage.external import check_storage, external_storage, size_limit
from perdure.storage.folder import FolderDriver
from perdure.storage.unreadable import PayloadUnreadable

STORE, RETRIEVE = StorageDriverStoreContext(), StorageDriverRetrieveContext()


def payload_of(data: bytes) -> Payload:
    return Payload(metadata={"encoding": b"binary/plain", "b": b"2", "a": b"1"}, data=data)


async def kept(driver: FolderDriver, data: bytes = b"some data") -> tuple[StorageDriverClaim, Path]:
    [claim] = await driver.store(STORE, [payload_of(data)])
    digest = claim.claim_data["sha256"]
    return claim, driver.folder / digest[:2] / digest


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def refusal(driver: FolderDriver, claim: StorageDriverClaim) -> str:
    with pytest.raises(PayloadUnreadable) as caught:
        await driver.retrieve(RETRIEVE, [claim])
    return str(caught.value)


async def test_what_is_stored_is_retrieved_in_order(tmp_path: Path) -> None:
    payloads = [payload_of(bytes([n]) * 1000) for n in range(20)]
    driver = FolderDriver(tmp_path / "made" / "at need")
    claims = await driver.store(STORE, payloads)
    assert await FolderDriver(driver.folder).retrieve(RETRIEVE, claims) == payloads


async def test_the_same_content_is_one_file_whose_age_begins_anew(tmp_path: Path) -> None:
    driver = FolderDriver(tmp_path)
    claim, path = await kept(driver)
    os.utime(path, (1, 1))
    assert (await kept(driver))[0] == claim
    assert files_of(tmp_path) == [path]
    assert path.stat().st_mtime > 1


async def test_a_file_that_was_cut_off_is_written_again(tmp_path: Path) -> None:
    driver = FolderDriver(tmp_path)
    claim, path = await kept(driver)
    path.write_bytes(b"some")
    await kept(driver)
    assert await driver.retrieve(RETRIEVE, [claim]) == [payload_of(b"some data")]


async def test_a_deleted_file_is_named_with_its_folder(tmp_path: Path) -> None:
    driver = FolderDriver(tmp_path)
    claim, path = await kept(driver)
    path.unlink()
    message = await refusal(driver, claim)
    assert claim.claim_data["sha256"] in message
    assert repr(str(tmp_path)) in message
    assert "PERDURE_PAYLOADS" in message


@pytest.mark.parametrize("content", [b"", b"other data", b"x" * 10_000])
async def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    driver = FolderDriver(tmp_path)
    claim, path = await kept(driver)
    path.write_bytes(content)
    message = await refusal(driver, claim)
    assert "damaged" in message
    assert str(path) in message


@pytest.mark.parametrize(
    "digest",
    ["../../etc/passwd", "/etc/passwd", "", "a" * 63, "A" * 64, "a" * 64 + "\n", "a" * 62 + "/.", "\0"],
)
async def test_a_claim_can_name_nothing_but_a_content(tmp_path: Path, digest: str) -> None:
    assert "names no SHA-256" in await refusal(FolderDriver(tmp_path), StorageDriverClaim({"sha256": digest}))


async def test_a_folder_that_is_away_may_come_back(tmp_path: Path) -> None:
    driver = FolderDriver(tmp_path / "folder")
    claim, _ = await kept(driver)
    (tmp_path / "folder").rename(tmp_path / "away")
    (tmp_path / "folder").write_text("in its place")
    with pytest.raises(OSError, match="Not a directory"):
        await driver.retrieve(RETRIEVE, [claim])
    with pytest.raises(OSError, match="folder"):
        await kept(driver, b"more")


def test_many_that_store_the_same_at_a_time_leave_one_whole_file(tmp_path: Path) -> None:
    data = b"x" * 3_000_000
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from temporalio.api.common.v1 import Payload\n"
        "from temporalio.converter import StorageDriverStoreContext as Context\n"
        "from perdure.storage.folder import FolderDriver\n"
        "payload = Payload(metadata={'a': b'1', 'b': b'2', 'encoding': b'binary/plain'}, data=b'x' * 3_000_000)\n"
        "driver = FolderDriver(Path(sys.argv[1]))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(asyncio.run(driver.store(Context(), [payload] * 8))[0].claim_data['sha256'])\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    told = [process.communicate("go\n") for process in processes]
    [digest] = {out.strip() for out, _ in told}
    driver = FolderDriver(tmp_path)
    claims = [StorageDriverClaim({"sha256": digest})]
    assert asyncio.run(driver.retrieve(RETRIEVE, claims)) == [payload_of(data)]
    assert [path.name for path in files_of(tmp_path)] == [digest]


# -- the setting ---------------------------------------------------------------------------------------------------------


def driver_names(drivers: Iterable[Any]) -> list[str]:
    return [type(driver).__name__ for driver in drivers]


def test_the_setting_comes_from_the_argument_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERDURE_PAYLOADS", raising=False)
    assert driver_names(external_storage().drivers) == ["UnconfiguredDriver"] * 2
    monkeypatch.setenv("PERDURE_PAYLOADS", f"file://{tmp_path}/a%20folder")
    [driver, _] = external_storage().drivers
    assert isinstance(driver, FolderDriver)
    assert driver.folder == tmp_path / "a folder"
    assert driver_names(external_storage("none").drivers) == ["UnconfiguredDriver"] * 2
    own = external_storage(tmp_path.as_uri())
    assert external_storage(own) is own


@pytest.mark.parametrize(
    "setting", ["folder", "file://folder", "file://host/folder", "s3://", "gs://bucket", "file:"]
)
def test_a_setting_that_is_none_is_refused_with_those_there_are(setting: str) -> None:
    with pytest.raises(ConfigError, match="write 'file:///folder', 's3://bucket/prefix' or 'none'"):
        external_storage(setting)


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to"):
        check_storage(external_storage((tmp_path / "file" / "folder").as_uri()))
    check_storage(external_storage((tmp_path / "folder").as_uri()))
    assert files_of(tmp_path / "folder") == []


def test_the_limit_depends_on_the_setting(tmp_path: Path) -> None:
    assert size_limit(DataConverter()) == size_limit(DataConverter(external_storage=external_storage("none")))
    with_folder = DataConverter(external_storage=external_storage(tmp_path.as_uri()))
    assert size_limit(with_folder) > size_limit(DataConverter())
