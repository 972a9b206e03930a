"""ART's AutoPGD (Croce and Hein, ICML 2020), on a head of class prototypes."""

from hashbench.models.codes import class_codes, encode
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "art-auto-pgd",
    threats=("linf", "l2"),
    paper="Croce and Hein, ICML 2020, by ART on a surrogate head",
    presets={"quick": {"steps": 5}},
)
def art_auto_pgd(victim: Victim, threat: Threat, *, steps: Count = 100) -> Craft:
    """Drive each query out of the class whose prototype its code agrees with most, by ART's AutoPGD.

    ART needs a classifier, so a head of prototypes, one center code per class, stands in for retrieval; a code that
    has left its class can still be near its neighbours. Each query keeps its image of the highest loss, as in the
    paper: ART returns the last one, or the random start where the query did not leave its class.

    Args:
        steps: gradient steps per query.
    """
    from hashbench.crafting import art_bridge  # slow to import

    prototypes = class_codes(binarize(encode(victim.model, victim.train)), victim.train.labels)

    def craft(queries: Queries) -> Images:
        head = art_bridge.prototype_head(victim.model, prototypes, tuple(queries.images.shape[1:]))
        size = art_bridge.budget(threat)
        method = art_bridge.AutoProjectedGradientDescent(
            head,
            norm=art_bridge.order(threat),
            eps=size,
            eps_step=2 * size,
            max_iter=steps,
            nb_random_init=1,
            loss_type="cross_entropy",
            verbose=False,
        )

        art_bridge.decide_once(method.estimator)
        with art_bridge.started_at(threat.noise(queries.random())):
            art_bridge.together(queries, threat, method)
        return threat.project(art_bridge.as_images(method.x_max, queries.images), queries.images)

    return craft
