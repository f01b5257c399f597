"""A LangGraph project: what its `langgraph.json` says, and its graphs.

Side: both. Owns finding and reading the file, importing the user's modules and taking a graph from them. Reads the keys
`graphs`, `env`, `dependencies` and `store`; every other key (`python_version`, `auth`, `http`, ...) is other tools' business.

| what the attribute is                                      | taken as                                        |
|------------------------------------------------------------|-------------------------------------------------|
| a compiled graph                                           | itself                                          |
| an uncompiled `StateGraph`                                 | compiled                                        |
| a function, sync or async, of nothing or of one `config`   | called once per process; returns one of the two |
| anything else, also a context manager                      | refused                                         |

Invariants: reading a project imports nothing and changes nothing; a module's name depends on where the file is in its
project, not on where the project is, because payloads name types by it. Not guaranteed: that a factory's graph suits each
run's config; it is built once, with an empty one.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from dotenv import dotenv_values
from langgraph.graph import StateGraph

from perdure._compat import Pregel
from perdure.errors import ConfigError, GraphLoadError, GraphNotFound

__all__ = ["CONFIG_NAME", "GraphSpec", "Project", "find_config", "load_project"]

CONFIG_NAME = "langgraph.json"

AnyGraph = Pregel[Any, Any, Any, Any]

_EXAMPLE = '{"graphs": {"agent": "./agent.py:graph"}, "dependencies": ["."]}'


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


@dataclass(frozen=True)
class Project:
    """Made by `load_project`. `root` is the folder of `file`; `import_paths` are what the graphs' modules need."""

    root: Path
    file: Path
    graphs: Mapping[str, GraphSpec]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    import_paths: tuple[Path, ...] = ()
    store: Mapping[str, Any] = field(default_factory=dict[str, Any])
    settings: Any = None

    @property
    def name(self) -> str:
        return self.root.name

    def apply_env(self) -> None:
        """Put `env` into the process's environment; what is set there already wins. Call it before graphs are loaded."""
        for key, value in self.env.items():
            os.environ.setdefault(key, value)

    def load(self, name: str | None = None) -> dict[str, AnyGraph]:
        """As `aload`, where no event loop runs. What an async factory opened is then bound to a loop that is closed."""
        return asyncio.run(self.aload(name))

    async def aload(self, name: str | None = None) -> dict[str, AnyGraph]:
        """Import the project's graphs, or the one called `name`, and build what factories make.

        The folders of `dependencies` go to the end of `sys.path` and stay there.

        Raises:
            GraphNotFound: with the names that there are. GraphLoadError: naming graph, file, line and cause.
        """
        if name is not None and name not in self.graphs:
            known = ", ".join(sorted(self.graphs))
            raise GraphNotFound(f"no graph {name!r} in {str(self.file)!r}; it has: {known}")
        specs = list(self.graphs.values()) if name is None else [self.graphs[name]]
        _add_paths(self.import_paths)
        loaded: dict[str, AnyGraph] = {}
        for spec in specs:
            # In a thread: modules that use `asyncio.run` at import would find a running loop here.
            module = await asyncio.to_thread(_import, spec, self.root)
            loaded[spec.name] = await _graph_of(module, spec, self.root)
        return loaded

    async def aload_index(self) -> dict[str, Any] | None:
        """The `index` of the `store` section, its `embed` imported if it is a place in code. Raises GraphLoadError."""
        index: dict[str, Any] = self.store.get("index") or {}
        embed = index.get("embed")
        if not isinstance(embed, str) or ".py:" not in embed:
            return index or None
        return {**index, "embed": await self.aload_attribute("store.index.embed", embed)}

    async def aload_attribute(self, name: str, place: Any) -> Any:
        """What is at a place in code, such as "./errors.py:classify"; `name` is for errors. Raises GraphLoadError."""
        _add_paths(self.import_paths)
        spec = _spec(name, place, self.file)
        return _attribute(await asyncio.to_thread(_import, spec, self.root), spec)


def find_config(start: Path) -> Path | None:
    """The nearest `langgraph.json` of `start` and the folders above it."""
    folder = start.absolute()
    return next((d / CONFIG_NAME for d in (folder, *folder.parents) if (d / CONFIG_NAME).is_file()), None)


def load_project(path: Path | None = None) -> Project:
    """Read a project. Imports nothing.

    Args:
        path: the file or its folder; default: the nearest `langgraph.json` of the current folder and those above it.

    Raises:
        ConfigError: naming the file, the key and the fix.
    """
    file = find_config(Path.cwd()) if path is None else _given(path)
    if file is None or not file.is_file():
        where = f"in {str(Path.cwd())!r} or above" if path is None else f"at {str(path)!r}"
        raise ConfigError(f"no {CONFIG_NAME} {where}: make one, such as {_EXAMPLE}, or give --config PATH")
    file = file.absolute()
    data = _read(file)
    root = file.parent
    return Project(
        root=root,
        file=file,
        graphs=_specs(data.get("graphs"), file),
        env=_env(data.get("env"), file),
        import_paths=_import_paths(data.get("dependencies"), file),
        store=_store(data.get("store"), file),
        settings=data.get("perdure"),
    )


# -- reading the file ----------------------------------------------------------------------------------------------------


def _given(path: Path) -> Path:
    return path / CONFIG_NAME if path.is_dir() else path


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: must hold an object, such as {_EXAMPLE}")
    return cast("dict[str, Any]", data)


def _specs(graphs: Any, file: Path) -> dict[str, GraphSpec]:
    if not isinstance(graphs, dict) or not graphs:
        raise ConfigError(f"{file}: 'graphs' must map names to places in code, such as {_EXAMPLE}")
    return {name: _spec(name, entry, file) for name, entry in cast("dict[str, Any]", graphs).items()}


def _spec(name: str, entry: Any, file: Path) -> GraphSpec:
    fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {"path": entry}
    path = fields.get("path")
    source, colon, attribute = path.rpartition(":") if isinstance(path, str) else ("", "", "")
    if not (source and colon and attribute):
        raise ConfigError(
            f"{file}: graph {name!r} is {json.dumps(entry)}: "
            'write "./path/file.py:attribute" or "package.module:attribute"'
        )
    return GraphSpec(name, source.strip(), attribute.strip(), str(fields.get("description") or ""))


def _env(env: Any, file: Path) -> dict[str, str]:
    if not env:
        return {}
    if isinstance(env, dict):
        return {str(key): str(value) for key, value in cast("dict[str, Any]", env).items()}
    if not isinstance(env, str):
        raise ConfigError(f"{file}: 'env' must be the path of a .env file or an object of strings")
    path = file.parent / env
    if not path.is_file():
        raise ConfigError(
            f"{file}: 'env' names {env!r}, and there is no such file: make it, or remove the key"
        )
    return {key: value for key, value in dotenv_values(path).items() if value is not None}


def _store(store: Any, file: Path) -> dict[str, Any]:
    options = cast("dict[str, Any]", store or {})
    if not isinstance(options, dict) or not all(isinstance(value, dict) for value in options.values()):
        raise ConfigError(f"{file}: 'store' must be an object of objects: 'index', 'ttl' or both")
    return options


def _import_paths(dependencies: Any, file: Path) -> tuple[Path, ...]:
    """The project's folder and the folders among its dependencies; packages' names are the environment's business."""
    listed = cast("list[Any]", dependencies) if isinstance(dependencies, list) else []
    paths = [file.parent]
    for entry in listed:
        folder = (file.parent / str(entry)).resolve()
        if not str(entry).startswith("."):
            continue
        if not folder.is_dir():
            raise ConfigError(f"{file}: 'dependencies' names {entry!r}, and there is no such folder")
        paths += [folder.parent, folder] if (folder / "__init__.py").is_file() else [folder]
    return tuple(dict.fromkeys(paths))


# -- importing -----------------------------------------------------------------------------------------------------------


def _add_paths(paths: tuple[Path, ...]) -> None:
    # At the end, as `langgraph dev` does it: a project's `types.py` must not take the place of Python's.
    sys.path.extend(str(path) for path in paths if str(path) not in sys.path)


def _import(spec: GraphSpec, root: Path) -> ModuleType:
    """Raises GraphLoadError for whatever the user's module raises."""
    if spec.is_file:
        path = (root / spec.source).resolve()
        if not path.is_file():
            raise GraphLoadError(f"graph {spec.name!r}: there is no file {str(path)!r}")
        return _guard(spec, root, lambda: _import_file(spec, path, root))
    return _guard(spec, root, lambda: importlib.import_module(spec.source))


def _guard(spec: GraphSpec, root: Path, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except GraphLoadError:
        raise
    except (Exception, SystemExit) as error:
        raise _load_error(spec, root, error) from error


def _import_file(spec: GraphSpec, path: Path, root: Path) -> ModuleType:
    top, parts = path.parent, [path.stem]
    while (top / "__init__.py").is_file():
        parts.insert(0, top.name)
        top = top.parent
    if len(parts) > 1:
        _add_paths((top,))
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


def _load_error(spec: GraphSpec, root: Path, error: BaseException) -> GraphLoadError:
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


def _attribute(module: ModuleType, spec: GraphSpec) -> Any:
    value: Any = module
    for part in spec.attribute.split("."):
        if not hasattr(value, part):
            raise GraphLoadError(
                f"graph {spec.name!r}: {spec.source!r} has no {spec.attribute!r}{_others(module)}"
            )
        value = getattr(value, part)
    return value


async def _graph_of(module: ModuleType, spec: GraphSpec, root: Path) -> AnyGraph:
    value = _attribute(module, spec)
    if isinstance(value, (Pregel, StateGraph)) or not callable(value) or inspect.isclass(value):
        return _compiled(value, spec, root, "is")
    arguments = _factory_arguments(value, spec)
    made = await asyncio.to_thread(_guard, spec, root, lambda: value(*arguments))
    if inspect.isawaitable(made):
        try:
            made = await made
        except Exception as error:
            raise _load_error(spec, root, error) from error
    return _compiled(made, spec, root, "returns")


def _factory_arguments(factory: Any, spec: GraphSpec) -> list[Any]:
    parameters = list(inspect.signature(factory).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [
        p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if len(required) > 1 or any(p not in positional for p in required):
        raise GraphLoadError(
            f"graph {spec.name!r}: the factory {spec.attribute!r} takes {inspect.signature(factory)}: "
            "it may take nothing or one config"
        )
    wants_config = bool(required) or (bool(positional) and positional[0].name == "config")
    return [{"configurable": {}}] if wants_config else []


def _compiled(value: Any, spec: GraphSpec, root: Path, verb: str) -> AnyGraph:
    if isinstance(value, Pregel):
        return cast("AnyGraph", value)
    if isinstance(value, StateGraph):
        return cast("AnyGraph", _guard(spec, root, value.compile))
    what = f"an object of type {type(value).__name__}"
    if hasattr(value, "__aenter__") or hasattr(value, "__enter__"):
        what = "a context manager, which nothing would ever close: open resources in the nodes instead"
    raise GraphLoadError(
        f"graph {spec.name!r}: {spec.attribute!r} of {spec.source!r} {verb} {what}; "
        "a compiled graph, a StateGraph or a function that returns one is needed"
    )


def _others(module: ModuleType) -> str:
    graphs = sorted(name for name, value in vars(module).items() if isinstance(value, (Pregel, StateGraph)))
    return f"; its graphs: {', '.join(graphs)}" if graphs else "; it defines no graph"
