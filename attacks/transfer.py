"""Any white-box attack, crafted on a surrogate and judged on the victim (Papernot et al., arXiv 1605.07277)."""

from hashbench.models.data import Victim
from hashbench.registry.decorators import attack
from hashbench.registry.entries import attacks
from hashbench.registry.parameters import Count
from hashbench.registry.protocols import Craft
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.training.surrogate import surrogate_victim


@attack(
    "transfer",
    threats=("linf", "l2"),
    goal="inner",
    access="transfer",
    paper="Papernot et al., arXiv 1605.07277",
    presets={"quick": {"epochs": 1}},
)
def transfer(
    victim: Victim,
    threat: Threat,
    *,
    attack: str = "pgd-hamming",
    backbone: str = "cnn",
    method: str = "csq",
    bits: Count | None = None,
    epochs: Count = 5,
) -> Craft:
    """Craft with another attack on a surrogate model, which is trained on the same images.

    The surrogate is trained once per data set and stored; the victim is never queried.

    Args:
        attack: a white-box attack, with its default parameters.
        backbone: the surrogate's network.
        method: the surrogate's hashing method.
        bits: code length of the surrogate; by default the victim's.
        epochs: epochs of its training; on validation queries, 5 misled victims more than 20.
    """
    inner = attacks.choose(Spec(attack))
    craft: Craft = inner.call(
        surrogate_victim(victim, backbone=backbone, method=method, bits=bits, epochs=epochs), threat
    )
    return craft
