"""What is built holds what the tree holds, without following the links of a checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
HOMES = {"attacks": "hashbench/attacks", "defenses": "hashbench/defenses", "hashbench": "hashbench"}


def modules_of_the_tree() -> set[str]:
    listed = subprocess.run(["git", "ls-files", *HOMES], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [
        Path(line)
        for line in listed.stdout.splitlines()
        if line.endswith((".py", "py.typed", ".json", ".toml", ".csv", ".html", ".css", ".js"))
    ]
    return {str(Path(HOMES[path.parts[0]], *path.parts[1:])) for path in paths}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist of a copy of the tracked files."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    archive = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-cf", source / "tree.tar", "--null", "-T", "-"], cwd=ROOT, input=archive, check=True)
    (source / "tree").mkdir()
    subprocess.run(["tar", "-xf", source / "tree.tar", "-C", source / "tree"], check=True)
    words = ["-m", "build", "--no-isolation", "--outdir", str(out), str(source / "tree")]
    subprocess.run([sys.executable, *words], capture_output=True, check=True)
    return out


def test_the_wheel_holds_every_module(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if name.startswith("hashbench/")}
    assert found == modules_of_the_tree()


def test_the_sdist_holds_every_module(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    tree = {
        name.replace("hashbench/attacks", "attacks").replace("hashbench/defenses", "defenses")
        for name in modules_of_the_tree()
    }
    assert tree <= names


def test_the_wheel_that_the_sdist_gives_is_installed_by_pip_and_runs(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")  # `build` makes it from the sdist
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "new"], check=True)
    python = tmp_path / "new" / "bin" / "python"
    words = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    (site,) = (tmp_path / "new").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{Path(np.__file__).parents[1]}\n")  # a path alone: no editable install
    np.savez(tmp_path / "codes.npz", query_codes=[[1, 1]], query_labels=[[1]], database_codes=[[1, 1]],
             database_labels=[[1]])  # fmt: skip
    installed = python.with_name("hashbench")
    for command in (["list", "suites"], ["score", "codes.npz"]):
        ran = subprocess.run([installed, *command], capture_output=True, text=True, cwd=tmp_path)
        assert (ran.returncode, ran.stderr) == (0, "")
    assert "map                 1.000000" in ran.stdout
    program = ["-c", "import hashbench; print(hashbench.__file__)"]
    where = subprocess.run([python, *program], capture_output=True, text=True, cwd=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(site)


def test_an_installed_wheel_finds_its_attacks_and_an_installed_plugin(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path)
    (tmp_path / "their_plugin.py").write_text(
        "from hashbench import attack\n"
        "@attack('theirs')\n"
        "def theirs(victim, threat):\n"
        "    '''An attack from a package.'''\n"
        "    return lambda queries: queries.images\n"
    )
    facts = tmp_path / "their_plugin-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: their-plugin\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[hashbench.plugins]\ntheirs = their_plugin\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import hashbench; "
        f"assert hashbench.__file__.startswith({str(tmp_path)!r}); "
        "sys.argv = ['hashbench', 'list', 'attacks']; from hashbench.cli.main import main; main()"
    )
    listed = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "pgd-hamming" in listed.stdout
    assert "An attack from a package." in listed.stdout
    (tmp_path / "their_plugin.py").write_text("import nothing_of_that_name\n")
    broken = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert broken.returncode == 2
    assert "of their-plugin can't be imported" in broken.stderr
    assert broken.stderr.count("\n") == 1
