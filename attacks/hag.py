"""HAG: Hamming-space adversarial generation (Yang et al., IEEE Trans. Cybernetics 2020)."""

from typing import Literal

from hashbench.chase import HALF, alternating, guided, search
from hashbench.codes import encode_batch
from hashbench.data import Queries, Victim
from hashbench.moves import Move, cosine, momentum_steps, sign_steps
from hashbench.objectives import agreement, masked_departure
from hashbench.parameters import Count, NonNegative, Positive, Share, Value
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images

PAPER: dict[str, Value] = {"steps": 2000, "restarts": 1, "optimiser": "momentum"}


@attack("hag", paper="Yang et al., TCYB 2020", presets={"paper": PAPER, "quick": {"steps": 5}})
def hag(
    victim: Victim,
    threat: Threat,
    *,
    steps: Count = 50,
    restarts: Count = 2,
    optimiser: Literal["sign", "momentum"] = "sign",
    step_ratio: Share = 0.5,
    learning_rate: Positive = 100 / 128,
    weight: NonNegative = 1.0,
) -> Craft:
    """Push each query's code away from what it is, bit by bit, without labels.

    The masked objective leaves bits that are already flipped alone, so that a query whose bits all are has
    no gradient and leaves; its second term keeps the rest balanced. Follows SAAT's re-implementation,
    whose momentum steps of 100 times a gradient averaged over 128 images, from the clean image, are the
    preset `paper`; signed steps need far fewer.

    Args:
        steps: gradients a walk.
        restarts: walks, with the tanh annealed and plain in turn; more than one start from noise.
        optimiser: signed steps along a cosine, or SGD with momentum 0.9 on the raw gradient.
        step_ratio: first signed step divided by eps.
        learning_rate: of the momentum steps, for the gradient of one query's own objective.
        weight: of the second term.
    """

    def rule(start: Images) -> Move:
        if optimiser == "momentum":
            return momentum_steps(learning_rate, 0.9, start)
        return sign_steps(cosine(threat.eps * step_ratio))

    def craft(queries: Queries) -> Images:
        own = encode_batch(victim.model, queries.images)
        walks = [
            guided(
                victim.model,
                own,
                -own.sign(),
                loss=lambda codes, guide: masked_departure(codes, guide, weight),
                score=agreement,
                alpha=alpha,
                margin=HALF,
            )
            for alpha in alternating(restarts)
        ]
        return search(queries, walks, threat, steps=steps, move=rule, random_start=restarts > 1)

    return craft
