"""Train a copy and write its weights back into the model it was given."""

import copy

from hashbench import HashModel, ImageSet, Method, Threat, defense
from hashbench.training.loop import fit
from hashbench.training.recipe import Recipe
from hashbench.types import Images, Index, Labels, Scalar


@defense("bad-writes-to-the-model")
def writes_to_the_model(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    """Train a copy and write its weights back into the model it was given."""
    student = copy.deepcopy(model)

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        return method(student(images), labels, index)

    trained = fit(student, train, method, loss, Recipe(1, 1e-3, 64))
    model.load_state_dict(trained.state_dict())
    return trained
