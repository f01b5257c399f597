"""Importing the modules of a LangGraph project that its graphs are in.

Side: both. A module is imported as Python itself would import it from the project's folder; what goes wrong in it is told with
the place in the user's own code.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure.errors import GraphLoadError

__all__ = ["GraphSpec", "add_paths", "guard", "import_module_of", "load_error"]


@dataclass(frozen=True)
class GraphSpec:
    """Where one graph is: `source` is a file (`"./agent.py"`) or a module (`"package.agent"`)."""

    name: str
    source: str
    attribute: str
    description: str = ""

    @property
    def is_file(self) -> bool:
        return "/" in self.source or self.source.endswith(".py")


def add_paths(paths: tuple[Path, ...]) -> None:
    # At the end, as `langgraph dev` does it: a project's `types.py` must not take the place of Python's.
    sys.path.extend(str(path) for path in paths if str(path) not in sys.path)


def import_module_of(spec: GraphSpec, root: Path) -> ModuleType:
    """Raises GraphLoadError for whatever the user's module raises."""
    if spec.is_file:
        path = (root / spec.source).resolve()
        if not path.is_file():
            raise GraphLoadError(f"graph {spec.name!r}: there is no file {str(path)!r}")
        return guard(spec, root, lambda: _import_file(spec, path, root))
    return guard(spec, root, lambda: importlib.import_module(spec.source))


def guard(spec: GraphSpec, root: Path, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except GraphLoadError:
        raise
    except (Exception, SystemExit) as error:
        raise load_error(spec, root, error) from error


def _import_file(spec: GraphSpec, path: Path, root: Path) -> ModuleType:
    top, parts = path.parent, [path.stem]
    while (top / "__init__.py").is_file():
        parts.insert(0, top.name)
        top = top.parent
    if len(parts) > 1:
        add_paths((top,))
        name = ".".join(parts[:-1] if path.stem == "__init__" else parts)
        module = importlib.import_module(name)
        if _origin(module.__spec__) != path:
            raise GraphLoadError(
                f"graph {spec.name!r}: {name!r} is {module.__file__!r} and not {str(path)!r}: "
                f"rename the package {parts[0]!r}, or uninstall the other one"
            )
        return module
    if _origin(_find_spec(path.stem)) == path:
        # The name by which the project's other modules import it: under two names its classes would exist twice.
        return importlib.import_module(path.stem)
    return _import_location(path, root)


def _find_spec(name: str) -> Any:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _origin(spec: Any) -> Path | None:
    return Path(spec.origin).resolve() if spec is not None and spec.origin else None


def _import_location(path: Path, root: Path) -> ModuleType:
    name = _module_name(path, os.path.relpath(path, root))
    known = sys.modules.get(name)
    if known is not None and _origin(known.__spec__) != path:
        name = _module_name(path, str(path))  # another project in this process has a file in the same place
        known = sys.modules.get(name)
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_name(path: Path, place: str) -> str:
    return f"{path.stem}_{sha256(place.encode()).hexdigest()[:10]}"


def load_error(spec: GraphSpec, root: Path, error: BaseException) -> GraphLoadError:
    text = " ".join(str(error).split()) or "without a message"
    fix = ""
    if isinstance(error, ModuleNotFoundError):
        fix = ": install it in this environment, or add its folder to 'dependencies'"
    text = error.msg if isinstance(error, SyntaxError) else text
    text = f"{_place(root, error)}{type(error).__name__}: {text}{fix}"
    return GraphLoadError(f"graph {spec.name!r} cannot be loaded: {text}")


def _place(root: Path, error: BaseException) -> str:
    """ "file:line: " of the statement in the project that failed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(Path(error.filename), root)}:{error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(Path(frame.filename), root)]
    return f"{_shown(Path(own[-1].filename), root)}:{own[-1].lineno}: " if own else ""


def _is_own(file: Path, root: Path) -> bool:
    return file.is_relative_to(root) and not {"site-packages", "dist-packages"} & set(file.parts)


def _shown(file: Path, root: Path) -> str:
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)


# -- from a module's attribute to a graph --------------------------------------------------------------------------------
