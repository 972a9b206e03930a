"""NAG: targeted transfer with noise against over-fitting to the surrogate (Xiao and Wang, CVPR 2021)."""

from hashbench.crafting.gradient_loop import ObjectiveValue, iterate, never_done
from hashbench.crafting.step_rules import constant, steepest_steps
from hashbench.models.codes import anchor_code
from hashbench.models.data import Queries, Victim
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, NonNegative
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.training.surrogate import surrogate_victim
from hashbench.types import Images, Index, Scores


@attack(
    "nag",
    threats=("linf", "l2"),
    goal="targeted",
    access="transfer",
    paper="Xiao and Wang, CVPR 2021",
    presets={"quick": {"steps": 4, "epochs": 1}},
)
def nag(
    victim: Victim,
    threat: Threat,
    *,
    steps: Count = 32,
    weight: NonNegative = 1.0,
    noise_ratio: NonNegative = 1.0,
    backbone: str = "cnn",
    method: str = "csq",
    bits: Count | None = None,
    epochs: Count = 5,
) -> Craft:
    """Drive each query's code, with and without added noise, to that of one item with the target labels.

    Crafted on a surrogate model by signed steps of eps / `steps` from the clean image, which reach the edge of the
    budget, as 32 steps of 1/255 do in the paper. Minimises the distance of the relaxed code to the item's plus
    `weight` times that of the noisy image's code; the noise is drawn anew at each step.

    Args:
        steps: gradient steps per query.
        weight: weight of the noisy image's distance.
        noise_ratio: half the width of the uniform noise, divided by eps, or under l2 by the eps of each pixel.
        backbone: the surrogate's network.
        method: the surrogate's hashing method.
        bits: code length of the surrogate; by default the victim's.
        epochs: epochs of its training; on validation queries, 5 misled victims more than 20.
    """
    own = surrogate_victim(victim, backbone=backbone, method=method, bits=bits, epochs=epochs)
    rule = steepest_steps(threat, constant(threat.eps / steps))

    def craft(queries: Queries) -> Images:
        target = anchor_code(own.gallery, queries.wanted, queries.draw((len(own.gallery.codes),)), members=1)

        def distance(images: Images, rows: Index) -> Scores:
            return (own.model(images) - target[rows]).abs().mean(1)

        def objective(images: Images, rows: Index, progress: float) -> ObjectiveValue:
            stream = 1 + round(progress * steps)
            noise = noise_ratio * threat.even(images) * queries.take(rows).random(stream)
            loss = distance(images, rows) + weight * distance(images + noise, rows)
            return never_done(loss)

        found, _ = iterate(
            queries.images, queries.images, objective, threat, steps=steps, step_rule=rule, keep_best=False
        )
        return found

    return craft
