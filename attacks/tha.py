"""THA: prototype-supervised targeted attack (Wang et al., SIGIR 2021)."""

import torch

from hashbench.crafting.objectives import disagreement
from hashbench.crafting.prototype_networks import CodeNet, code_net_loss, train_prototypes
from hashbench.crafting.search import Walk, alternating, guided, steepest_search
from hashbench.models.codes import encode
from hashbench.models.data import Queries, Victim
from hashbench.models.helpers import Tensors
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Positive, Share, Value
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images

PAPER: dict[str, Value] = {"steps": 100, "net_steps": 30000, "learning_rate": 1e-4}


@attack(
    "tha",
    threats=("linf", "l2"),
    goal="targeted",
    paper="Wang et al., SIGIR 2021",
    presets={"paper": PAPER, "quick": {"steps": 5, "net_steps": 3}},
)
def tha(
    victim: Victim,
    threat: Threat,
    *,
    steps: Count = 50,
    restarts: Count = 1,
    step_ratio: Share = 0.5,
    net_steps: Count = 300,
    batch_size: Count = 32,
    learning_rate: Positive = 1e-3,
    walk: Walk = "cosine",
) -> Craft:
    """Drive each query's code to the code that a prototype network gives its target labels.

    The network learns, once per victim, codes that are near those of training images sharing a label and far from the
    others, by a circle loss over all pairs.

    Args:
        steps: gradient steps per restart.
        restarts: alternate between annealed and plain tanh; one starts from the clean image, several from noise.
        step_ratio: first step divided by eps; it falls to zero along a cosine.
        walk: cosine, or official: steps of one size and the last iterate, as in the released code.
        net_steps: batches that the prototype network is trained on.
        batch_size: label sets per batch.
        learning_rate: learning rate of the prototype network.
    """
    net = code_net(victim, net_steps, batch_size, learning_rate)

    def craft(queries: Queries) -> Images:
        with torch.no_grad():
            guide = binarize(net(queries.wanted))
        objectives = [
            guided(victim.model, guide, guide, loss=disagreement, score=disagreement, alpha=alpha)
            for alpha in alternating(restarts)
        ]
        return steepest_search(
            queries, objectives, threat, steps=steps, step_ratio=step_ratio, random_start=restarts > 1, walk=walk
        )

    return craft


def code_net(victim: Victim, steps: int, batch_size: int, learning_rate: float) -> CodeNet:
    """The victim's prototype network, trained now or taken from the store."""
    memory = binarize(encode(victim.model, victim.train))
    settings = {"net_steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}

    def untrained() -> CodeNet:
        return CodeNet(victim.train.labels.shape[1], victim.model.bits).to(memory.device)

    def make() -> Tensors:
        return train_prototypes(
            untrained(), code_net_loss, victim, memory,
            steps=steps, batch_size=batch_size, learning_rate=learning_rate, name="tha prototypes",
        )  # fmt: skip

    net = untrained()
    net.load_state_dict(victim.keep("tha-prototypes", settings, make))
    return net
