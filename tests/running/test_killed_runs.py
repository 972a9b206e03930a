from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command import PLUGIN, SMALL_PROBES

ROOT = Path(__file__).parents[2]


def kill(*words: str) -> str:
    """What the script says that kills runs."""
    script = ROOT / "scripts" / "kill_and_resume.py"
    run = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    for name in ("results.csv", "matrix.csv", "matrix.png"):
        assert f"{name}: identical" in run.stdout
    return run.stdout


def test_a_small_run_that_is_killed_ends_with_the_same_files(tmp_path: Path) -> None:
    plugin = tmp_path / "still.py"
    plugin.write_text(SMALL_PROBES + PLUGIN.format(name="still", body="return queries.images"))
    words = f"--training epochs=1 --defense median --attack still --plugin {plugin}"
    assert kill("--kills", "1", f"--words={words}").count("0 lost") == 1


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_files() -> None:
    """The script does the same with more kills: scripts/kill_and_resume.py --kills 20."""
    assert kill("--kills", "2").count("0 lost") == 2
