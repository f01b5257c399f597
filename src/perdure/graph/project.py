"""A LangGraph project: what its `langgraph.json` says, and its graphs.

Side: both. Owns finding and reading the file, importing the user's modules and taking a graph from them. Keys that it does
not know are other tools' business.

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
import inspect
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from dotenv import dotenv_values
from langgraph.graph import StateGraph

from perdure._compat import Pregel
from perdure.errors import ConfigError, GraphLoadError, GraphNotFound
from perdure.graph.project_limits import ProjectLimits, read_limits
from perdure.graph.project_modules import GraphSpec, add_paths, guard, import_module_of, load_error
from perdure.graph.project_ttl import ThreadTtl, thread_ttl
from perdure.graph.webhook_policy import WebhookPolicy, webhook_policy

__all__ = ["CONFIG_NAME", "GraphSpec", "Project", "find_config", "load_project"]

CONFIG_NAME = "langgraph.json"

AnyGraph = Pregel[Any, Any, Any, Any]
_EXAMPLE = '{"graphs": {"agent": "./agent.py:graph"}, "dependencies": ["."]}'


@dataclass(frozen=True)
class Project:
    """Made by `load_project`. `root` is the folder of `file`; `import_paths` are what the graphs' modules need."""

    root: Path
    file: Path
    graphs: Mapping[str, GraphSpec]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    import_paths: tuple[Path, ...] = ()
    store: Mapping[str, Any] = field(default_factory=dict[str, Any])
    limits: ProjectLimits = field(default_factory=ProjectLimits)
    http: Any = None
    settings: Any = None
    auth: Any = None
    webhooks: WebhookPolicy = field(default_factory=WebhookPolicy)
    ttl: ThreadTtl | None = None

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
        add_paths(self.import_paths)
        loaded: dict[str, AnyGraph] = {}
        for spec in specs:
            # In a thread: modules that use `asyncio.run` at import would find a running loop here.
            module = await asyncio.to_thread(import_module_of, spec, self.root)
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
        add_paths(self.import_paths)
        spec = _spec(name, place, self.file)
        return _attribute(await asyncio.to_thread(import_module_of, spec, self.root), spec)


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
        limits=read_limits(data.get("perdure"), f"{file}: 'perdure'"),
        http=data.get("http"),
        settings=data.get("perdure"),
        ttl=thread_ttl(data.get("checkpointer"), str(file)),
        auth=data.get("auth"),
        webhooks=webhook_policy(data.get("webhooks"), data.get("http")),
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
    made = await asyncio.to_thread(guard, spec, root, lambda: value(*arguments))
    if inspect.isawaitable(made):
        try:
            made = await made
        except Exception as error:
            raise load_error(spec, root, error) from error
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
        return cast("AnyGraph", guard(spec, root, value.compile))
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
