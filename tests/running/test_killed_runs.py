from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_run_that_is_killed_ends_with_the_same_files() -> None:
    """The script does the same with more kills: scripts/kill_and_resume.py --kills 100 --flips 1."""
    script = ROOT / "scripts" / "kill_and_resume.py"
    run = subprocess.run(
        [sys.executable, script, "--kills", "1", "--flips", "1", "--small"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count(" 0 lost") == 1
    for name in ("results.csv", "matrix.csv", "matrix.png"):
        assert f"{name}: identical" in run.stdout
