"""Balance each bit by an offset that is no part of the saved weights."""

import copy

from torch import Tensor, nn

from hashbench import HashModel, ImageSet, Method, Threat, defense
from hashbench.models.codes import encode


@defense("bad-loses-state-on-save")
def loses_state_on_save(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    """Balance each bit by an offset that is no part of the saved weights."""
    student = copy.deepcopy(model)
    offset = encode(student, train).mean(0)

    def balance(layer: nn.Module, inputs: tuple[Tensor, ...], logits: Tensor) -> Tensor:
        return logits - offset

    student.network.register_forward_hook(balance)
    return student
