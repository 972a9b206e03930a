"""Calls of code that may come from a plugin, and data and networks that it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from hashbench.errors import BadInput, BadOutput, ClusterLost, CodeRaised, HashbenchError, InvalidCell, StoreUnusable
from hashbench.evaluation.split_form import check_split
from hashbench.models.data import ImageSet, RetrievalSplit
from hashbench.models.model import HashModel
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Backbone, Dataset, Defense, Method
from hashbench.threat import Threat, UntoldThreat
from hashbench.types import Codes, Images


def explain(who: str, function: Any, *args: Any) -> Any:
    """Call code that may come from a plugin; any exception becomes a one-line reason that ends the cell.

    Raises:
        CodeRaised: the function raised something that ends no run: nothing of hashbench's own, or a refusal of what
            it was asked for, which comes too late to stop the other cells.
        InvalidCell, StoreUnusable, ClusterLost: the function raised it.
    """
    try:
        return explain_early(who, function, *args)
    except (InvalidCell, StoreUnusable, ClusterLost):
        raise
    except HashbenchError as error:
        raise CodeRaised(f"{who}: {error}") from error


def explain_early(who: str, function: Any, *args: Any) -> Any:
    """The same before anything is trained, where a refusal and missing files are for the user, as they are.

    Raises:
        CodeRaised: the function raised something that is not hashbench's own.
        HashbenchError: the function raised it.
    """
    try:
        return function(*args)
    except HashbenchError:
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename.rsplit('/')[-1]}:{trace.tb_lineno}" if trace else "?"
        reason = " ".join(str(error).split())[:200]
        raise CodeRaised(f"{who} raised {type(error).__name__} at {where}: {reason}") from error


def asked(encode: Callable[..., Codes], model: HashModel, images: Images | ImageSet) -> Codes:
    """The codes that a model, whose network may be a plugin's, gives images.

    Args:
        encode: `encode` for a set, `encode_batch` for a batch.

    Raises:
        CodeRaised: the network raised something that is not hashbench's own.
    """
    codes: Codes = explain_early("the model", encode, model, images)
    return codes


def load_split(choice: Choice[Dataset]) -> RetrievalSplit:
    """The data of a data set, which may be a plugin's.

    Raises:
        CodeRaised: its function raised something that is not hashbench's own.
        BadOutput: it returned something else than a split.
        BadInput: images or labels do not have the form of an `ImageSet`, or roles differ in them.
        UsageError: files are missing or do not fit.
    """
    split = explain_early(f"data set {choice.label}", choice.call)
    if not isinstance(split, RetrievalSplit):
        raise BadOutput(f"data set {choice.label} returned a {type(split).__name__}; return a RetrievalSplit")
    try:
        check_split(split)
    except BadInput as error:
        raise BadInput(f"data set {choice.label}: {error}") from None
    return split


def new_network(choice: Choice[Backbone], bits: int, channels: int, size: int) -> HashModel:
    """An untrained model on the CPU, whose network may be a plugin's.

    Raises:
        BadParameter: the network takes no such images.
        CodeRaised: its function raised something that is not hashbench's own.
        BadOutput: it returned something else than a network.
    """
    network = explain_early(f"network {choice.label}", choice.call, bits, channels, size)
    if not isinstance(network, nn.Module):
        raise BadOutput(f"network {choice.label} returned a {type(network).__name__}; return a torch.nn.Module")
    return HashModel(network, bits)


def defend(choice: Choice[Defense], model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    """The model that a defense, which may be a plugin's, makes of another one.

    Raises:
        InvalidCell: the defense raised something, returned no `HashModel`, or read the threat though it trains nothing.
    """
    told = threat if choice.entry.trains else UntoldThreat()
    defended = explain(f"defense {choice.label}", choice.call, model, train, method, told)
    if not isinstance(defended, HashModel):
        raise BadOutput(f"defense {choice.label} returned a {type(defended).__name__}; return a HashModel")
    return defended
