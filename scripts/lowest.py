"""Run the quick tests with the oldest releases of the dependencies that pyproject.toml allows.

python scripts/lowest.py [FOLDER] [TEST ...]

Makes a virtual environment in FOLDER (by default .venv-lowest) with each dependency at its lower bound. torch and
torchvision, which are gigabytes, are those of the environment that runs this script.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
AS_THEY_ARE = ("torch", "torchvision")
# Files that touch each dependency and take seconds: tables, pictures, the page, counts, weights, the command line.
QUICK = (
    "tests/boards/test_matrix.py", "tests/boards/test_page.py", "tests/boards/test_plots_board.py",
    "tests/boards/test_ranking.py", "tests/cli/test_completion.py", "tests/cli/test_json.py", "tests/metrics",
    "tests/models", "tests/readers", "tests/registry", "tests/crafting/test_art_bridge.py", "tests/test_digests.py",
)  # fmt: skip


def lowest(texts: Sequence[str]) -> list[str]:
    """Requirements pinned to their lower bounds; those that are taken as they are, and extras, are left out.

    Raises:
        ValueError: a requirement has no lower bound.

    >>> lowest(["click>=8.1", "torch>=2.14"])
    ['click==8.1']
    """
    pinned = []
    for requirement in map(Requirement, texts):
        if requirement.name in AS_THEY_ARE or requirement.extras:
            continue
        bounds = [one.version for one in requirement.specifier if one.operator == ">="]
        if len(bounds) != 1:
            raise ValueError(f"{requirement} has no lower bound; write {requirement.name}>=VERSION")
        pinned.append(f"{requirement.name}=={bounds[0]}")
    return pinned


def requirements() -> list[str]:
    """The pinned requirements of the package and of its tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return lowest([*project["dependencies"], *project["optional-dependencies"]["test"]])


def make(folder: Path) -> Path:
    """Make the environment, and return its Python."""
    venv.create(folder, with_pip=True, clear=True)
    python = folder / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *requirements()], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "torch.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # after the environment's own packages
    return python


def main(words: Sequence[str]) -> int:
    """Make the environment if it is not there, and run the tests; returns their exit status."""
    folder = Path(words[0] if words else ROOT / ".venv-lowest")
    found = make(folder) if not (folder / "lib").exists() else folder / "bin" / "python"
    tests = words[1:] or QUICK
    return subprocess.run(
        [found, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
