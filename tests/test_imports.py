"""Imports run one way, between rooms and between files, as docs/internals.md says."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parent.parent
PACKAGE = "tidegate"
# What the arrows in docs/internals.md do not say: its second line, in words there.
BESIDE = {"observe": "stream"}
UNDER_CLI = ("bench", "demo")
# Modules whose package has another name.
PACKAGES = {"paho": "paho-mqtt", "dns": "dnspython"}
# `import a.b` and `cimport a.b`; `from a import b, c` and `from a cimport b, c`.
CYTHON_IMPORT = re.compile(
    r"^\s*(?:from\s+(?P<origin>\S+)\s+c?import\s+(?P<names>\([^)]*\)|[^\n#]*)"
    r"|c?import\s+(?P<modules>[^\n#]*))",
    re.MULTILINE,
)


def documented_ranks() -> dict[str, int]:
    """How high each room stands, by the arrows in docs/internals.md; what is in no room: lowest."""
    line = next(
        line
        for line in (TOP / "docs/internals.md").read_text().splitlines()
        if "←" in line and "scoreboard" in line
    )
    ranks = {
        room.strip(): rank
        for rank, rooms in enumerate(line.split("←"))
        for room in rooms.split(",")
    }
    ranks |= {room: ranks[neighbour] for room, neighbour in BESIDE.items()}
    # They start whole programs, so they may know everything but cli itself.
    return ranks | dict.fromkeys(UNDER_CLI, ranks["process"] + 0.5)


def python_imports(text: str, *, for_types: bool) -> Iterator[tuple[str, list[str]]]:
    """Every import as (module, names taken from it), also those in functions."""
    tree = ast.parse(text)
    if not for_types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), [alias.name for alias in node.names]


def cython_imports(text: str) -> Iterator[tuple[str, list[str]]]:
    for match in CYTHON_IMPORT.finditer(text):
        if match["origin"]:
            names = [
                name.split()[0] for name in match["names"].strip("()\n ").split(",") if name.strip()
            ]
            yield match["origin"], names
        else:
            yield from (
                (name.split()[0], []) for name in match["modules"].split(",") if name.strip()
            )


def imports_of(path: Path, *, for_types: bool = True) -> list[tuple[str, list[str]]]:
    text = path.read_text()
    if path.suffix in {".pyx", ".pxd"}:
        return list(cython_imports(text))
    if path.suffix == ".pyi" and not for_types:
        return []
    return list(python_imports(text, for_types=for_types))


def sources(src: Path) -> dict[str, list[Path]]:
    """Every module of the package with its files: board.pyx, board.pxd and board.pyi are one."""
    modules: dict[str, list[Path]] = {}
    for path in sorted((src / PACKAGE).rglob("*")):
        if path.suffix in {".py", ".pyi", ".pyx", ".pxd"}:
            parts = path.relative_to(src).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules.setdefault(name, []).append(path)
    return modules


def targets(src: Path, *, for_types: bool = True) -> dict[str, set[str]]:
    """For each module of the package, the modules of the package that it imports.

    Without `for_types` those are left out that only a type checker follows.
    """
    modules = sources(src)
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for module, paths in modules.items():
        for path in paths:
            for origin, names in imports_of(path, for_types=for_types):
                name = absolute(origin, module, is_package=path.stem == "__init__")
                if name.split(".")[0] != PACKAGE:
                    continue
                inner = {f"{name}.{taken}" for taken in names} & modules.keys()
                graph[module] |= (inner or {name}) - {module}
    return graph


def absolute(origin: str, module: str, *, is_package: bool) -> str:
    dots = len(origin) - len(origin.lstrip("."))
    if not dots:
        return origin
    base = module.split(".")[: len(module.split(".")) - dots + is_package]
    return ".".join([*base, origin.lstrip(".")]).rstrip(".")


def room(module: str) -> str:
    """The room of a module; "" for the package itself, "cli" for what `python -m` runs."""
    parts = module.split(".")
    if parts[1:] == ["__main__"]:
        return "cli"
    return parts[1] if len(parts) > 1 else ""


def against_direction(src: Path) -> list[str]:
    """Each import that does not point to a lower room, as "module imports module"."""
    ranks = documented_ranks()
    return [
        f"{module} imports {target}"
        for module, found in sorted(targets(src).items())
        for target in sorted(found)
        if room(target) not in {"", room(module)}
        and not ranks.get(room(target), -1) < ranks.get(room(module), -1)
    ]


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_imports_point_to_lower_rooms() -> None:
    assert against_direction(TOP / "src") == []


def test_no_circle_between_files() -> None:
    # Two files of a room may name each other's types.
    assert circle(targets(TOP / "src", for_types=False)) == []


def test_every_room_stands_in_the_documentation() -> None:
    rooms = {
        path.name for path in (TOP / "src" / PACKAGE).iterdir() if (path / "__init__.py").exists()
    }
    assert rooms - documented_ranks().keys() == set()


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"]
    extra = [name for names in project["optional-dependencies"].values() for name in names]
    for module, paths in sources(TOP / "src").items():
        declared = needed + (extra if room(module) in UNDER_CLI else [])
        allowed = {re.split(r"[<>=!~\[; ]", name)[0].lower() for name in declared}
        for path in paths:
            found = {origin.split(".")[0] for origin, _ in imports_of(path) if origin[0] != "."}
            # These are there when the engine is built, or when types are checked.
            found -= sys.stdlib_module_names | {
                PACKAGE,
                "libc",
                "posix",
                "cython",
                "cpython",
                "_typeshed",
            }
            assert {PACKAGES.get(name, name) for name in found} <= allowed, path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("wire", "config", "stream", "observe", "cli", "demo"):
        folder = tmp_path / PACKAGE / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text('"""A room."""\n')
    (tmp_path / PACKAGE / "__init__.py").write_text('"""A package."""\n')
    return tmp_path


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("wire/head.py", "from tidegate.config import model"),
        ("wire/head.py", "import tidegate.stream"),
        ("wire/head.py", "def late():\n    from tidegate import config"),
        ("wire/head.py", "from ..config import model"),
        ("wire/head.pyx", "from tidegate.config.model cimport Model"),
        ("wire/head.pxd", "cimport tidegate.config.model as other"),
        ("wire/head.pyi", "from tidegate.config.model import Model"),
        ("stream/session.py", "from tidegate.observe import access_log"),
        ("observe/access_log.py", "from tidegate.stream import session"),
        ("stream/session.py", "from tidegate.demo import main"),
        ("demo/main.py", "from tidegate.cli import main"),
    ],
)
def test_an_import_against_the_direction_is_found(tree: Path, file: str, line: str) -> None:
    (tree / PACKAGE / file).write_text(line + "\n")
    assert len(against_direction(tree)) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("config/build.py", "from tidegate.wire.address import Address"),
        ("config/build.py", "from tidegate.config import model"),
        ("config/build.py", "from . import model"),
        ("cli/main.py", "from tidegate.demo import main"),
        ("demo/main.py", "from tidegate.stream import session"),
        ("wire/head.pyx", "from libc.string cimport memcpy"),
    ],
)
def test_an_import_with_the_direction_passes(tree: Path, file: str, line: str) -> None:
    (tree / PACKAGE / file).write_text(line + "\n")
    assert against_direction(tree) == []


def test_files_may_name_each_others_types(tree: Path) -> None:
    guarded = "if TYPE_CHECKING:\n    from tidegate.wire import head\n"
    (tree / PACKAGE / "wire/head.py").write_text("from tidegate.wire import tail\n")
    (tree / PACKAGE / "wire/tail.py").write_text(guarded)
    assert circle(targets(tree, for_types=False)) == []


def test_types_too_are_taken_from_lower_rooms_only(tree: Path) -> None:
    guarded = "if TYPE_CHECKING:\n    from tidegate.config import model\n"
    (tree / PACKAGE / "wire/head.py").write_text(guarded)
    assert len(against_direction(tree)) == 1


def test_a_circle_is_found_through_compiled_files_too(tree: Path) -> None:
    (tree / PACKAGE / "wire/head.pxd").write_text(
        "from tidegate.wire.tail cimport (\n    a,\n    b\n)\n"
    )
    (tree / PACKAGE / "wire/tail.py").write_text("from tidegate.wire import head\n")
    assert set(circle(targets(tree, for_types=False))) == {
        "tidegate.wire.head",
        "tidegate.wire.tail",
    }
