"""What is built from a tree without .git holds all that is needed to run, and nothing is missing.

The chain is the longest one: tree, source archive, wheel, empty virtual environment. It is built
without the network: the build's own requirements and the dependencies are those of this run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
# One worker builds, once, for all tests of this file.
pytestmark = [pytest.mark.xdist_group("install"), pytest.mark.timeout(300)]
# What stands in a checkout beside the project itself.
GROWN = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "__pycache__")
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])('.'))"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(what: str, tree: Path) -> Path:
    return tree / run(sys.executable, "-c", BUILD, what, cwd=tree).splitlines()[-1]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree") / "tidegate"
    shutil.copytree(TOP, tree, ignore=GROWN)
    return build("build_sdist", tree)


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return build("build_wheel", folder / archive.name.removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def prefix(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, the dependencies that it declares, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in declared_dependencies():
        copy_installed(name, site)
    run(*pip, "check")
    return folder


def declared_dependencies() -> list[str]:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    return [requirement.split(">")[0] for requirement in project["dependencies"]]


def copy_installed(name: str, site: Path) -> None:
    """Copy a pure distribution of this environment; what pip would fetch."""
    for file in distribution(name).files or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)


def source_files(*suffixes: str) -> set[str]:
    src = TOP / "src"
    return {
        str(path.relative_to(src))
        for path in (src / "tidegate").rglob("*")
        if path.suffix in suffixes or path.name == "py.typed"
    }


def test_the_source_archive_holds_every_source(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    expected = {f"src/{name}" for name in source_files(".py", ".pyi", ".pyx", ".pxd", ".h")}
    expected |= {"setup.py", "pyproject.toml", "LICENSE", "README.md", "deploy/tidegate.conf"}
    assert expected - names == set()
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_wheel_holds_every_module_and_only_those(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("tidegate/")}
    compiled = {name.removesuffix(".pyx") + SUFFIX for name in source_files(".pyx")}
    compiled.discard("tidegate/py.typed" + SUFFIX)
    assert compiled, "the engine is not there"
    assert names == source_files(".py", ".pyi") | compiled


def test_every_module_can_be_imported_from_an_empty_environment(prefix: Path) -> None:
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in source_files(".py")
        if not name.endswith(("__main__.py", "py.typed")) and not name.startswith("tidegate/demo/")
    ]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    run(prefix / "bin/python", "-I", "-c", code, *sorted(modules))


def test_the_command_is_there_and_accepts_a_configuration(prefix: Path, tmp_path: Path) -> None:
    shutil.copy(TOP / "examples/round-robin.conf", tmp_path / "nginx.conf")
    command = prefix / "bin/tidegate"
    run(command, "-t", "-p", tmp_path, "-c", "nginx.conf", cwd=tmp_path)
    run(command, "check", tmp_path / "nginx.conf", cwd=tmp_path)
