"""Put dropout into the network and leave it on."""

import copy

from torch import nn

from hashbench import HashModel, ImageSet, Method, Threat, defense


@defense("bad-dropout-left-on", trains=False)
def dropout_left_on(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    """Put dropout into the network and leave it on."""
    network = nn.Sequential(nn.Dropout(0.05), copy.deepcopy(model.network))
    defended = HashModel(network, model.bits).eval()
    network[0].train()
    return defended
