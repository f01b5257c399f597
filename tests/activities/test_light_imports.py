"""What the activities import at once is let into Temporal's sandbox: workflow files may import `perdure.testing`."""

from __future__ import annotations

import subprocess
import sys


def test_packages_of_extras_are_loaded_when_they_are_needed() -> None:
    code = (
        "import sys, perdure.testing, perdure.activities.fallback; "
        "print([m for m in ('genai_prices', 'limits', 'coredis') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
