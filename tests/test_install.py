"""What is built from a tree without .git holds all that is needed to run, and nothing is missing.

The chain is the longest one: tree, source archive, wheel, empty virtual environment. It is built
without the network: the build's own requirements and the dependencies are those of this run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
# One worker builds, once, for all tests of this file.
pytestmark = [pytest.mark.xdist_group("install"), pytest.mark.timeout(300)]
# What stands in a checkout beside the project itself.
GROWN = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "__pycache__")
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])('.'))"


def run(*command: str | Path, cwd: Path | None = None, **environ: str) -> str:
    env = os.environ | environ
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(what: str, tree: Path, **environ: str) -> Path:
    return tree / run(sys.executable, "-c", BUILD, what, cwd=tree, **environ).splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree") / "tidegate"
    shutil.copytree(TOP, tree, ignore=GROWN)
    reuse_cython(TOP, tree)
    return tree


def reuse_cython(old: Path, new: Path) -> None:
    """Take over what Cython wrote; it does not write again what it wrote from the same sources."""
    if (old / "build/cython").exists():
        shutil.copytree(old / "build/cython", new / "build/cython")


@pytest.fixture(scope="module")
def archive(tree: Path) -> Path:
    return build("build_sdist", tree)


@pytest.fixture(scope="module")
def wheel(archive: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    run("tar", "-xf", archive, "-C", folder)
    unpacked = folder / archive.name.removesuffix(".tar.gz")
    reuse_cython(tree, unpacked)
    # Unoptimised: what is in the wheel counts here, and it is there in half the time.
    compiler = folder / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {os.environ.get("CC", "cc")} "$@" -O0 -g0\n')
    compiler.chmod(0o755)
    return build("build_wheel", unpacked, CC=str(compiler))


@pytest.fixture(scope="module")
def prefix(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, what it depends on, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in dependencies():
        copy_installed(name, site)
    run(*pip, "check")
    return folder


def dependencies() -> set[str]:
    """Names of what the project declares that it depends on, and of what that depends on."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    waiting = list(project["dependencies"])
    while waiting:
        name = re.match(r"[\w.-]+", waiting.pop())[0]
        if name not in found and is_installed(name):
            found.add(name)
            requires = distribution(name).requires or []
            waiting += [requirement for requirement in requires if "extra" not in requirement]
    return found


def is_installed(name: str) -> bool:
    """Whether this environment has it; another version of Python may need what this does not."""
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False


def copy_installed(name: str, site: Path) -> None:
    """Copy a distribution of this environment; what pip would fetch."""
    for file in distribution(name).files or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)


def source_files(tree: Path, *suffixes: str) -> set[str]:
    src = tree / "src"
    return {
        str(path.relative_to(src))
        for path in (src / "tidegate").rglob("*")
        if path.suffix in suffixes or path.name == "py.typed"
    }


def test_the_source_archive_holds_every_source(archive: Path, tree: Path) -> None:
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    expected = {f"src/{name}" for name in source_files(tree, ".py", ".pyi", ".pyx", ".pxd", ".h")}
    expected |= {"setup.py", "pyproject.toml", "LICENSE", "README.md", "deploy/tidegate.conf"}
    assert expected - names == set()
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_wheel_holds_every_module_and_only_those(wheel: Path, tree: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("tidegate/")}
    compiled = {name.removesuffix(".pyx") + SUFFIX for name in source_files(tree, ".pyx")}
    compiled.discard("tidegate/py.typed" + SUFFIX)
    assert compiled, "the engine is not there"
    assert names == source_files(tree, ".py", ".pyi") | compiled


def test_every_module_can_be_imported_from_an_empty_environment(prefix: Path, tree: Path) -> None:
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in source_files(tree, ".py")
        if not name.endswith(("__main__.py", "py.typed")) and not name.startswith("tidegate/demo/")
    ]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    run(prefix / "bin/python", "-I", "-c", code, *sorted(modules))


def test_the_command_is_there_and_accepts_a_configuration(prefix: Path, tmp_path: Path) -> None:
    shutil.copy(TOP / "examples/round-robin.conf", tmp_path / "nginx.conf")
    command = prefix / "bin/tidegate"
    run(command, "-t", "-p", tmp_path, "-c", "nginx.conf", cwd=tmp_path)
    run(command, "check", tmp_path / "nginx.conf", cwd=tmp_path)


@pytest.fixture
def place(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `make install` puts things, without the network."""
    monkeypatch.setenv("TIDEGATE_WHEEL", str(wheel))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_DEPS", "1")
    return tmp_path / "place"


def make(verb: str, place: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", verb, f"DESTDIR={place}", "PREFIX=/opt/tide"]
    command.append(f"PYTHON={sys.executable}")
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)


def test_make_install_and_uninstall_keep_the_configuration(place: Path) -> None:
    starter = place / "etc/tidegate/tidegate.conf"
    room = Path("/opt/tide/lib/tidegate")
    assert make("install", place).returncode == 0
    assert starter.read_text() == (TOP / "deploy/tidegate.conf").read_text()
    assert (place / "opt/tide/bin/tidegate").readlink() == room / "bin/tidegate"
    script = (place / "opt/tide/lib/tidegate/bin/tidegate").read_text()
    assert script.startswith(f"#!{room}/bin/python")

    starter.write_text("# mine\n")
    assert make("install", place).returncode == 0
    assert starter.read_text() == "# mine\n"

    assert make("uninstall", place).returncode == 0
    assert [path for path in place.rglob("*") if not path.is_dir()] == [starter]


def test_make_install_does_not_replace_a_command_from_elsewhere(place: Path) -> None:
    command = place / "opt/tide/bin/tidegate"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\n")
    done = make("install", place)
    assert done.returncode != 0
    assert "choose another PREFIX" in done.stderr
    assert command.read_text() == "#!/bin/sh\n"
    make("uninstall", place)
    assert command.exists()
