from __future__ import annotations

import pytest
import torch
from toys import golden

from hashbench.models.codes import anchor_code, class_codes, mainstay_code, majority
from hashbench.models.data import Gallery


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("memory", ["B", "U"])
def test_mainstay_codes_equal_the_reference(case: str, memory: str) -> None:
    arrays = {key: torch.from_numpy(value) for key, value in golden("mainstay_code").items()}
    found = mainstay_code(arrays[f"{case}_{memory}"], arrays[f"{case}_L"], arrays[f"{case}_y"])
    sure = arrays[f"{case}_margin_from_{memory}"] > 1e-5
    assert torch.equal(found[sure], arrays[f"{case}_mainstay_from_{memory}"][sure])


@pytest.mark.parametrize("members", [1, 4, 9])
def test_majorities_equal_the_reference(members: int) -> None:
    arrays = golden("anchor_code")
    found = majority(torch.from_numpy(arrays[f"set{members}"]))
    assert torch.equal(found, torch.from_numpy(arrays[f"anchor{members}"]))


def gallery() -> Gallery:
    labels = torch.tensor([[1.0, 0, 0]] * 3 + [[1, 1, 0]] * 2 + [[0, 0, 1]])
    codes = torch.where(torch.arange(6)[:, None] == torch.arange(6), 1.0, -1.0)
    return Gallery(codes, labels)


def test_anchors_come_from_items_with_exactly_the_wanted_labels() -> None:
    wanted = torch.tensor([[1.0, 0, 0], [1, 1, 0]])
    draws = torch.rand(2, 6, generator=torch.Generator().manual_seed(0))
    found = anchor_code(gallery(), wanted, draws, members=1)
    picked = found.argmax(1)
    assert picked[0] < 3
    assert 3 <= picked[1] < 5


def test_an_anchor_uses_all_items_if_there_are_too_few() -> None:
    wanted, draws = torch.tensor([[1.0, 1, 0]]), torch.rand(1, 6)
    found = anchor_code(gallery(), wanted, draws, members=9)
    assert torch.equal(found, torch.tensor([[-1.0, -1, -1, 0, 0, -1]]))


def test_an_anchor_falls_back_to_the_nearest_label_set() -> None:
    wanted, draws = torch.tensor([[0.0, 1, 0]]), torch.rand(1, 6)
    assert int(anchor_code(gallery(), wanted, draws, members=1).argmax(1)) in (3, 4)


def test_class_codes_leave_out_classes_that_do_not_occur() -> None:
    codes, labels = torch.tensor([[1.0, 1], [-1, 1]]), torch.tensor([[1.0, 0, 0], [0, 0, 1]])
    assert torch.equal(class_codes(codes, labels), torch.tensor([[1.0, 0], [-1, 0]]))
