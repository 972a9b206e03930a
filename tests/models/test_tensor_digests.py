"""The digest of named tensors, of every type that torch has."""

from __future__ import annotations

import pytest
import torch

from hashbench.models.weight_files import tensor_digest

OF_BFLOAT16 = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.bfloat16)


def test_digests_of_types_that_numpy_has_are_as_ever() -> None:
    weights = {"b": torch.arange(3).float(), "a": torch.tensor([[1, 2]]), "c": torch.tensor(1.5, dtype=torch.float64)}
    assert tensor_digest(weights) == "c12b22ac2611986f"


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn])
def test_tensors_of_types_that_numpy_lacks_have_a_digest(kind: torch.dtype) -> None:
    tensor = OF_BFLOAT16.to(kind)
    found = tensor_digest({"a": tensor})
    assert found == tensor_digest({"a": tensor.clone()})
    others = (
        {"a": (-OF_BFLOAT16).to(kind)},
        {"a": tensor.T},
        {"a": tensor.flatten()},
        {"b": tensor},
        {"a": tensor.float()},
    )
    assert found not in {tensor_digest(other) for other in others}
    assert tensor_digest({"a": tensor[:0]}) != tensor_digest({"a": tensor[0, 0]})
