"""What a training's step is said to hold in memory, beside what a process was seen to hold."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from hashbench.models.model import HashModel
from hashbench.models.pass_cost import PassCost, StepForecast, measure_pass
from hashbench.running.forecast.lines import forecast
from hashbench.running.request import Request

# Two steps of a training, so that the optimiser's moments are there while the second one's activations are.
TRAINING = """
import sys
import torch
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.entries import backbones, defenses, methods
from hashbench.registry.spec import Spec
from hashbench.running.provenance import peak_memory
from hashbench.threat import Threat

torch.set_num_threads(1)
backbone, size, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
images, labels = torch.rand(2 * batch, 3, size, size), torch.eye(10)[torch.arange(2 * batch) % 10]
method = methods.choose(Spec("csq")).call(torch.rand(2 * batch, 32) * 2 - 1, labels)
torch.nn.Conv2d(3, 3, 3)(images[:1]).sum().backward()  # loads what computes them
before = peak_memory()
model = HashModel(backbones.choose(Spec(backbone, {"weights": "none"})).call(32, 3, size), 32)
defense = defenses.choose(Spec.parse(f"cgat:epochs=1,batch_size={batch},steps=1"))
defense.call(model, ImageSet(images, labels), method, Threat(8 / 255))
print(peak_memory() - before)
"""


def test_memory_is_that_of_the_largest_step() -> None:
    cost = PassCost(0.1, 0.3, weights=1000, largest=600, activations=10.0, batch=256)
    assert cost.memory([]) == 1000 + 2560
    assert cost.memory([StepForecast(64, 4, 2)]) == 4000 + 1200  # the optimiser's temporaries
    assert cost.memory([StepForecast(64, 4, 2), StepForecast(200, 5, 2)]) == 5000 + 2000


def test_weights_and_what_a_gradient_keeps_are_counted_once() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(inplace=True), torch.nn.Flatten(), torch.nn.Linear(1024, 8)
    )
    cost = measure_pass(HashModel(network, 8), 3, 8, torch.device("cpu"))
    assert cost.weights == 4 * (16 * 27 + 16 + 1024 * 8 + 8)
    assert cost.largest == 4 * 1024 * 8
    assert cost.activations == pytest.approx(4 * (3 * 64 + 16 * 64 + 8), rel=0.02)  # images, maps, codes


@pytest.mark.slow
def test_the_dry_run_knows_the_peak_of_vgg11_at_224_pixels() -> None:
    """A CgAT training with batches of 32: within 20 % of what its process holds at most."""
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, "vgg11", "224", "32"], check=True, capture_output=True, text=True
    )
    request = Request(
        dataset="flickr25k:root=absent", backbone="vgg11", bits=32, defenses=("cgat:batch_size=32",),
        training="batch_size=32",
    )  # fmt: skip
    (line,) = (line for line in forecast([request]) if "from passes measured now" in line)
    said = 1e9 * float(line.partition(" GB beside")[0].rsplit(" ", 1)[1])
    seen = int(done.stdout)
    assert abs(said / seen - 1) <= 0.2, (said, seen)
