"""THA: prototype-supervised targeted attack (Wang et al., SIGIR 2021)."""

import torch

from hashbench.chase import alternating, guided, search
from hashbench.codes import encode
from hashbench.data import Queries, Victim
from hashbench.keeping import Tensors
from hashbench.model import binarize
from hashbench.moves import cosine, sign_steps
from hashbench.objectives import disagreement
from hashbench.parameters import Count, Positive, Share, Value
from hashbench.protocols import Craft
from hashbench.prototype import CodeNet, code_net_loss, train_prototypes
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import GuideCodes, Images, Labels

PAPER: dict[str, Value] = {"steps": 100, "net_steps": 30000, "learning_rate": 1e-4}


@attack(
    "tha",
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
) -> Craft:
    """Drive each query's code to the code that a prototype network gives its target labels.

    The network learns, once for each victim, codes that are near those of training images sharing a
    label and far from the others, by a circle loss over all pairs.

    Args:
        steps: gradients a walk.
        restarts: walks, with the tanh annealed and plain in turn; more than one start from noise.
        step_ratio: first step divided by eps; it falls to zero along a cosine.
        net_steps: batches that the prototype network is trained on.
        batch_size: label sets in one of them.
        learning_rate: of its training.
    """
    memory = binarize(encode(victim.model, victim.train))
    settings = {"net_steps": net_steps, "batch_size": batch_size, "learning_rate": learning_rate}

    def make() -> Tensors:
        return train_prototypes(
            new_net(), code_net_loss, victim, memory,
            steps=net_steps, batch_size=batch_size, learning_rate=learning_rate, name="tha prototypes",
        )  # fmt: skip

    def new_net() -> CodeNet:
        return CodeNet(victim.train.labels.shape[1], victim.model.bits).to(memory.device)

    net = new_net()
    net.load_state_dict(victim.keep("tha-prototypes", settings, make))

    def prototypes(labels: Labels) -> GuideCodes:
        with torch.no_grad():
            return binarize(net(labels))

    rule = sign_steps(cosine(threat.eps * step_ratio))

    def craft(queries: Queries) -> Images:
        guide = prototypes(queries.wanted)
        walks = [
            guided(victim.model, guide, guide, loss=disagreement, score=disagreement, alpha=alpha)
            for alpha in alternating(restarts)
        ]
        return search(queries, walks, threat, steps=steps, move=lambda start: rule, random_start=restarts > 1)

    return craft
