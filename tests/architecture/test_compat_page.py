"""docs/compatibility.md says what the tests prove, and nothing else."""

from __future__ import annotations

from pathlib import Path

import compat_page
import pytest


def test_the_page_is_up_to_date() -> None:
    text = compat_page.PAGE.read_text()
    assert text == compat_page.page(text, compat_page.marks()), "run `make compat`"


def test_the_page_has_every_kind_of_line() -> None:
    text = compat_page.PAGE.read_text()
    assert all(f"<!-- compat: {status} -->" in text for status in compat_page.FIELDS)
    assert {mark.status for mark in compat_page.marks()} == set(compat_page.FIELDS)


def test_a_marker_that_says_too_little_is_named(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.mark.compat('x', status='refused')\ndef test_x(): ...\n"
    (tmp_path / "test_x.py").write_text(source)
    with pytest.raises(ValueError, match=r"test_x\.py:2: compat takes"):
        compat_page.marks(tmp_path)
