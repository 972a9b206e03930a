"""No defense: the undefended row of every table."""

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.decorators import defense
from hashbench.registry.protocols import Method
from hashbench.threat import Threat


@defense("none", trains=False)
def none(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    """Return the model unchanged."""
    return model
