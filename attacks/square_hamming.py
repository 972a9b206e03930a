"""Random search that sees binary codes only: the Square Attack (Andriushchenko et al., ECCV 2020)."""

from hashbench.crafting.square_moves import square_search
from hashbench.models.codes import center_code, encode
from hashbench.models.data import Queries, Victim
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images, Scores


@attack(
    "square-hamming",
    threats=("linf", "l2"),
    access="decision",
    paper="Andriushchenko et al., ECCV 2020, on binary codes",
    presets={"paper": {"steps": 5000}, "quick": {"steps": 5}},
)
def square_hamming(victim: Victim, threat: Threat, *, steps: Count = 300, area: Share = 0.8) -> Craft:
    """Change squares of pixels and keep what brings the binary code no nearer to its center code.

    The victim answers with binary codes only: those of the training images give the center code of each query, and
    those of changed queries are compared with it. For linf, squares change by +-eps, starting from vertical stripes;
    for l2, squares hand the budget on to one another, starting from tiles. A change that leaves the distance unchanged
    is kept too, since a distance in bits has plateaus.

    Args:
        steps: changes to try; each queries the victim once.
        area: share of the image that the first squares cover; it halves nine times.
    """
    memory = encode(victim.model, victim.train)

    def craft(queries: Queries) -> Images:
        center = center_code(memory, victim.train.labels, queries.labels)

        def agreement(images: Images) -> Scores:
            return (victim.model(images) * center).sum(1)

        return square_search(queries, threat, agreement, steps=steps, area=area)

    return craft
