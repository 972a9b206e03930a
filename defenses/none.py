"""No defense: the undefended row of every table."""

from hashbench.data import ImageSet
from hashbench.model import HashModel
from hashbench.protocols import Method
from hashbench.registry import defense
from hashbench.threat import Threat


@defense("none", trains=False)
def none(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    """The model as it is."""
    return model
