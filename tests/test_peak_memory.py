"""The peak memory of a process is its own."""

from __future__ import annotations

import subprocess
import sys

from hashbench.memory import peak_memory

PROGRAM = """
from hashbench.memory import peak_memory
before = peak_memory()
held = bytearray(b"x" * 100_000_000)
del held
print(before, peak_memory())
"""


def test_it_grows_with_what_is_held_and_knows_nothing_of_the_parent() -> None:
    held = bytearray(b"x" * 300_000_000)  # of this process, which starts the other one
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert peak_memory() > len(held)
    assert before < 200_000_000
    assert 100_000_000 <= after - before < 250_000_000
