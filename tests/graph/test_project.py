"""`langgraph.json` projects: how they are found and read, and what is taken for a graph."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.pregel import Pregel

from perdure.errors import ConfigError, GraphLoadError, GraphNotFound
from perdure.graph.project import load_project

GRAPH = """
    from typing import TypedDict
    from langgraph.graph import START, StateGraph

    class State(TypedDict):
        text: str

    def shout(state: State) -> State:
        return {"text": state["text"].upper()}

    builder = StateGraph(State)
    builder.add_node(shout)
    builder.add_edge(START, "shout")
    graph = builder.compile()
"""


@pytest.fixture(autouse=True)
def _clean_imports() -> Iterator[None]:
    modules, paths = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        if not name.startswith(("langgraph.", "langchain", "perdure")):
            del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def project_in(folder: Path, graphs: Any = None, **keys: Any) -> Path:
    return write(
        folder / "langgraph.json", json.dumps({"graphs": graphs or {"g": "./agent.py:graph"}, **keys})
    )


def one(folder: Path, source: str, attribute: str = "graph") -> Pregel[Any, Any, Any, Any]:
    write(folder / "agent.py", source)
    return load_project(project_in(folder, {"g": f"./agent.py:{attribute}"})).load()["g"]


# -- finding and reading -------------------------------------------------------------------------------------------------


def test_a_project_is_found_from_a_folder_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = project_in(tmp_path)
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    project = load_project()
    assert (project.file, project.root, project.name) == (file, tmp_path, tmp_path.name)
    assert load_project(tmp_path) == project


def test_without_a_project_the_error_says_where_it_looked_and_how_one_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf'no langgraph.json in .*{tmp_path.name}.*"graphs":') as found:
        load_project()
    assert "\n" not in str(found.value)
    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        load_project(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"graphs": {\n  "g": }}', r"langgraph.json:2:8: not valid JSON"),
        ("[]", "must hold an object"),
        ("{}", "'graphs' must map"),
        ('{"graphs": {}}', "'graphs' must map"),
        ('{"graphs": ["a.py:g"]}', "'graphs' must map"),
        ('{"graphs": {"g": "./a.py"}}', r"graph 'g' is \"./a.py\": write"),
        ('{"graphs": {"g": {"path": 3}}}', "graph 'g' is"),
        ('{"graphs": {"g": "a:b"}, "env": ".env.missing"}', "'env' names '.env.missing'"),
        ('{"graphs": {"g": "a:b"}, "env": 3}', "'env' must be"),
        ('{"graphs": {"g": "a:b"}, "dependencies": ["./missing"]}', "'dependencies' names './missing'"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path / "langgraph.json", text)
    with pytest.raises(ConfigError, match=says) as found:
        load_project(tmp_path)
    assert "\n" not in str(found.value)


def test_unknown_keys_are_ignored_and_descriptions_kept(tmp_path: Path) -> None:
    graphs = {"g": {"path": "./agent.py:graph", "description": "Shouts."}}
    project = load_project(project_in(tmp_path, graphs, python_version="3.12", http={"app": "x"}, store={}))
    assert project.graphs["g"].description == "Shouts."


@pytest.mark.parametrize("form", ["file", "mapping"])
def test_env_is_applied_when_asked_and_overrides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("PERDURE_T_SET", "outer")
    monkeypatch.delenv("PERDURE_T_NEW", raising=False)
    write(tmp_path / ".env", "PERDURE_T_SET=inner\nPERDURE_T_NEW='a b'\n")
    mapping = {"PERDURE_T_SET": "inner", "PERDURE_T_NEW": "a b"}
    project = load_project(project_in(tmp_path, env=".env" if form == "file" else mapping))
    assert "PERDURE_T_NEW" not in os.environ
    project.apply_env()
    assert (os.environ.pop("PERDURE_T_NEW"), os.environ["PERDURE_T_SET"]) == ("a b", "outer")


# -- importing -----------------------------------------------------------------------------------------------------------


def test_a_file_in_a_package_is_imported_by_its_package_name(tmp_path: Path) -> None:
    write(tmp_path / "shouter" / "__init__.py", "")
    write(tmp_path / "shouter" / "words.py", "PREFIX = 'oh '")
    write(tmp_path / "shouter" / "agent.py", "from shouter.words import PREFIX\n" + textwrap.dedent(GRAPH))
    config = project_in(tmp_path / "shouter", dependencies=["."])
    graph = load_project(config).load()["g"]
    assert graph.invoke({"text": "hey"}) == {"text": "HEY"}
    assert sys.modules["shouter.agent"].graph is graph


def test_a_module_of_a_dependency_folder_is_imported_by_name(tmp_path: Path) -> None:
    write(tmp_path / "src" / "loud" / "__init__.py", "")
    write(tmp_path / "src" / "loud" / "agent.py", GRAPH)
    config = project_in(tmp_path, {"g": "loud.agent:graph"}, dependencies=["./src", "langchain-openai"])
    assert set(load_project(config).load()) == {"g"}


def test_a_file_that_its_siblings_import_by_name_is_imported_once(tmp_path: Path) -> None:
    write(tmp_path / "statemod_p.py", GRAPH)
    write(tmp_path / "agent_p.py", "from statemod_p import builder, State\ngraph = builder.compile()")
    config = project_in(
        tmp_path, {"a": "./agent_p.py:graph", "b": "./statemod_p.py:graph"}, dependencies=["."]
    )
    loaded = load_project(config).load()
    assert loaded["b"] is sys.modules["statemod_p"].graph


def test_files_of_one_name_do_not_collide_and_their_names_do_not_depend_on_the_projects_place(
    tmp_path: Path,
) -> None:
    def schema_modules(root: Path) -> list[str]:
        for folder in ("a", "b"):
            write(root / folder / "agent.py", GRAPH + f"    place = {folder!r}\n")
        graphs = {"a": "./a/agent.py:graph", "b": "./b/agent.py:graph"}
        loaded = load_project(project_in(root, graphs)).load()
        names = [loaded[key].nodes["shout"].bound.func.__module__ for key in ("a", "b")]
        assert [sys.modules[name].place for name in names] == ["a", "b"]
        for name in names:
            del sys.modules[name]
        return names

    names = schema_modules(tmp_path / "here")
    assert len(set(names)) == 2
    assert schema_modules(tmp_path / "elsewhere") == names


def test_two_projects_with_a_file_in_the_same_place_fit_in_one_process(tmp_path: Path) -> None:
    first = one(tmp_path / "one", GRAPH)
    assert one(tmp_path / "two", GRAPH) is not first


def test_only_the_graph_that_is_asked_for_is_imported(tmp_path: Path) -> None:
    write(tmp_path / "agent.py", GRAPH)
    write(tmp_path / "broken.py", "1 / 0")
    project = load_project(project_in(tmp_path, {"g": "./agent.py:graph", "bad": "./broken.py:graph"}))
    assert set(project.load("g")) == {"g"}
    with pytest.raises(GraphLoadError, match=r"graph 'bad' cannot be loaded: broken.py:1: ZeroDivisionError"):
        project.load()
    with pytest.raises(GraphNotFound, match=r"no graph 'h' .* it has: bad, g"):
        project.load("h")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import os\nimport nothing_like_this\n", r"agent.py:2: ModuleNotFoundError: .* install it"),
        ("x = 1\ndef f(:\n", r"agent.py:2: SyntaxError"),
        ("def f():\n    raise KeyError('API_KEY')\nf()\n", r"agent.py:2: KeyError: 'API_KEY'"),
        ("import json\njson.loads('{')\n", r"agent.py:2: JSONDecodeError"),
        ("raise SystemExit(3)\n", r"agent.py:1: SystemExit: 3"),
        ("x = 1\n", "'./agent.py' has no 'graph'; it defines no graph"),
        ("graph = {'a': 1}\n", "'graph' of './agent.py' is an object of type dict; a compiled graph"),
        ("class graph: ...\n", "is an object of type type"),
        ("def graph(a, b): ...\n", r"takes \(a, b\): it may take nothing or one config"),
        ("def graph(*, a): ...\n", r"it may take nothing or one config"),
        ("def graph():\n    return 3\n", "returns an object of type int"),
        ("def graph():\n    raise ValueError('no\\nkey')\n", r"agent.py:2: ValueError: no key"),
        ("async def graph():\n    raise ValueError('no key')\n", r"agent.py:2: ValueError: no key"),
        (
            "from contextlib import asynccontextmanager\n@asynccontextmanager\nasync def graph():\n    yield 1\n",
            "returns a context manager, which nothing would ever close",
        ),
        (GRAPH.replace("graph = builder", "other = builder"), "has no 'graph'; its graphs: builder, other"),
        (
            "from langgraph.graph import StateGraph\ngraph = StateGraph(dict)\n",
            "graph 'g' cannot be loaded: ValueError",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(GraphLoadError, match=says) as found:
        one(tmp_path, source)
    assert "\n" not in str(found.value)


def test_the_original_exception_is_kept_as_the_cause(tmp_path: Path) -> None:
    with pytest.raises(GraphLoadError) as found:
        one(tmp_path, "1 / 0")
    assert isinstance(found.value.__cause__, ZeroDivisionError)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphLoadError, match=r"there is no file .*agent.py"):
        load_project(project_in(tmp_path)).load()


# -- what is a graph -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addition",
    [
        "",
        "    graph = builder\n",
        "    def graph(): return builder.compile()\n",
        "    def graph(config): return builder if config == {'configurable': {}} else None\n",
        "    def graph(config=None, verbose=False): return builder if config is not None else None\n",
        "    async def graph(config): return builder.compile()\n",
        "    class make:\n        graph = builder\n    graph = make.graph\n",
    ],
)
def test_graphs_builders_and_factories_are_taken(tmp_path: Path, addition: str) -> None:
    graph = one(tmp_path, GRAPH + addition)
    assert graph.invoke({"text": "hey"}) == {"text": "HEY"}


async def test_inside_a_running_loop_modules_may_use_asyncio_run(tmp_path: Path) -> None:
    source = "    import asyncio\n    asyncio.run(asyncio.sleep(0))\n" + GRAPH
    write(tmp_path / "agent.py", source)
    loaded = await load_project(project_in(tmp_path)).aload("g")
    assert loaded["g"].name == "LangGraph"


async def test_the_store_section_is_read_and_its_embedding_imported(tmp_path: Path) -> None:
    write(tmp_path / "embeddings.py", "def embed(texts): return [[1.0] for _ in texts]")
    index = {"embed": "./embeddings.py:embed", "dims": 1, "fields": ["text"]}
    project = load_project(project_in(tmp_path, store={"index": index, "ttl": {"default_ttl": 60}}))
    assert project.store["ttl"] == {"default_ttl": 60}
    loaded = await project.aload_index()
    assert loaded is not None
    assert (loaded["dims"], loaded["fields"], loaded["embed"](["a"])) == (1, ["text"], [[1.0]])


async def test_an_embedding_by_provider_is_left_to_langchain(tmp_path: Path) -> None:
    index = {"embed": "openai:text-embedding-3-small", "dims": 1536}
    assert await load_project(project_in(tmp_path, store={"index": index})).aload_index() == index
    assert await load_project(project_in(tmp_path)).aload_index() is None


@pytest.mark.parametrize("store", ["sqlite", {"index": "x"}, {"ttl": 5}, ["index"]])
def test_a_wrong_store_section_is_refused(tmp_path: Path, store: Any) -> None:
    with pytest.raises(ConfigError, match="'store' must be an object of objects"):
        load_project(project_in(tmp_path, store=store))
