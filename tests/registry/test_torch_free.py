"""A listing does without torch, and says the same."""

from __future__ import annotations

import subprocess
import sys

LIST = "import sys; sys.argv = ['hashbench', 'list']; from hashbench.cli.main import main; main()"
AFTER = """
from hashbench.registry.torch_free import registries
with registries() as registry:
    names = [entry.name for entry in registry.backbones]
import sys
assert "torch" not in sys.modules
from hashbench.registry import entries
import torch
assert torch.zeros(2).sum() == 0
assert names == [entry.name for entry in entries.backbones]
assert issubclass(type(entries.backbones["cnn"].function(8, 1, 8)), torch.nn.Module)
"""
UNUSED = """
import sys
sys.argv = ["hashbench", "list"]
from hashbench.cli.main import main
try:
    main()
finally:
    assert not {"torch", "scipy", "sklearn", "numba", "pandas"} & set(sys.modules)
"""


def output(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_a_listing_reads_the_same_without_torch() -> None:
    assert output(UNUSED) == output(f"import torch; {LIST}")


def test_stand_ins_do_not_stay() -> None:
    output(AFTER)
