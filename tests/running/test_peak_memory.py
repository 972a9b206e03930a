"""The peak memory of a process is its own."""

from __future__ import annotations

import subprocess
import sys

from hashbench.running.provenance import peak_memory

PROGRAM = """
from hashbench.running.provenance import peak_memory
before = peak_memory()
held = bytearray(b"x" * 100_000_000)
del held
print(before, peak_memory())
"""


STARTED_BY_A_SMALL_PROCESS = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PROGRAM!r}], check=True)"


def test_it_grows_with_what_is_held_and_knows_nothing_of_the_parent() -> None:
    held = bytearray(b"x" * 300_000_000)  # of this process, which starts the first one
    marks = []
    for program in (PROGRAM, STARTED_BY_A_SMALL_PROCESS):
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        before, after = map(int, done.stdout.split())
        assert 90_000_000 <= after - before < 250_000_000
        marks.append(before)
    assert peak_memory() > len(held)
    assert abs(marks[0] - marks[1]) < 100_000_000
