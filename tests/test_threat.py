from __future__ import annotations

import pytest
import torch

from hashbench.errors import BadParameter, ThreatViolation
from hashbench.threat import Threat


@pytest.mark.parametrize("eps", [-0.1, 1.01, 8.0])
def test_refuses_budgets_outside_the_pixel_range(eps: float) -> None:
    with pytest.raises(BadParameter, match="write 8/255, not 8"):
        Threat(eps)


def test_projection_is_the_nearest_allowed_image() -> None:
    clean = torch.tensor([0.0, 0.5, 0.95]).view(1, 1, 1, 3)
    wild = torch.tensor([-1.0, 0.55, 2.0]).view(1, 1, 1, 3)
    torch.testing.assert_close(Threat(0.1).project(wild, clean).flatten(), torch.tensor([0.0, 0.55, 1.0]))


def test_check_lets_rounding_pass_and_nothing_more() -> None:
    clean = torch.full((2, 1, 2, 2), 0.5)
    threat = Threat(0.1)
    threat.check(clean + 0.1 + 5e-7, clean)
    with pytest.raises(ThreatViolation, match=r"moved by 25\.76/255, the budget is 25\.5/255"):
        threat.check(clean + 0.101, clean)
    with pytest.raises(ThreatViolation, match="leave"):
        Threat(1.0).check(clean + 0.6, clean)
