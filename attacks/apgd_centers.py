"""AutoPGD (Croce and Hein, ICML 2020) towards the centers of other classes, one after the other; ours."""

from hashbench.crafting.search import auto_pgd_search, towards
from hashbench.models.codes import encode, encode_batch, mainstay_code, other_centers
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "apgd-centers",
    threats=("linf", "l2"),
    paper="ours, by the rule of Croce and Hein, ICML 2020",
    presets={"quick": {"steps": 3, "targets": 2}},
)
def apgd_centers(victim: Victim, threat: Threat, *, steps: Count = 25, targets: Count = 5) -> Craft:
    """Drive each query's code from its weighted guide code to the center codes of the nearest other classes.

    Minimises half the difference of the code's mean products with the guide code and with the target's center code.
    Over all targets, each query keeps the image that agrees least with the guide code.

    Args:
        steps: gradient steps per target.
        targets: how many other classes are tried: those whose center codes are nearest to the query's clean code.
    """
    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guide = mainstay_code(memory, victim.train.labels, queries.labels)
        codes = encode_batch(victim.model, queries.images)
        centers = other_centers(codes, memory, victim.train.labels, queries.labels)
        objectives = [towards(victim.model, guide, center) for center in centers[:, :targets].unbind(1)]
        return auto_pgd_search(queries, objectives, threat, steps=steps)

    return craft
