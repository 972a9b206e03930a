"""A network's forward pass as a list of steps, each a layer of known bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from hashbench.certification.layers import Layer, Statistics, of_function, of_module
from hashbench.certification.refusal import NoCertificate
from hashbench.models.layers import is_hooked, replaced_methods
from hashbench.models.transformed import Transformed

IMAGES = 0  # the number of the step that stands for the images


@dataclass(frozen=True)
class Step:
    """One call of the forward pass: of a module, or of a function with its arguments behind the tensors.

    `inputs` are the numbers of the steps whose outputs it takes; step 0 are the images.
    """

    inputs: tuple[int, ...]
    module: nn.Module | None = None
    function: Any = None
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] | None = None

    def layer(self, statistics: Statistics) -> Layer:
        """The step as a layer with its current weights.

        Raises:
            NoCertificate: there is no rule for it.
        """
        if self.module is not None:
            return of_module(self.module, statistics)
        return of_function(self.function, self.arguments, self.keywords or {})


Graph = tuple[Step, ...]


def trace(network: nn.Module) -> Graph:
    """The steps of a network in the order of their calls; number 0 are the images, the last gives the logits.

    Modules are held, not copied, and each step reads their weights anew. Hooks of the network itself are left out.

    Raises:
        NoCertificate: the forward pass can't be traced, or a step of it has no rule, or it is changed by a hook of a
            layer or by a method of its own; the message names it.
    """
    if isinstance(network, Transformed):
        raise NoCertificate("no bounds are known for a network behind a transformation; certify the bare one")
    replaced: list[str] = [name for name in ("forward", "_call_impl") if name in replaced_methods(network)]
    replaced += ["__call__"] if type(network).__call__ is not nn.Module.__call__ else []
    _check_methods(network, "the network", replaced)  # the tracer takes the forward of its type
    try:
        nodes = list(_Tracer().trace(network).nodes)
    except NoCertificate:
        raise
    except Exception as error:  # noqa: BLE001 - a network of someone's own may raise anything
        reason = " ".join(str(error).split())[:80]
        name = type(network).__name__
        raise NoCertificate(f"the forward pass of {name} can't be traced ({reason}); build it from layers") from None
    numbers: dict[fx.Node, int] = {}
    steps: list[Step] = []
    for node in nodes[:-1]:
        if node.op == "placeholder" and steps:
            raise NoCertificate(f"{type(network).__name__} takes {node.name} beside images; let it take images only")
        numbers[node] = len(steps)
        steps.append(Step(()) if node.op == "placeholder" else _step(node, numbers, network))
    last = nodes[-1].args[0]
    if not isinstance(last, fx.Node) or numbers[last] != len(steps) - 1:
        raise NoCertificate(f"{type(network).__name__} does not end in the layer that gives the logits; let it")
    for step in steps[1:]:
        step.layer({})
    return tuple(steps)


def _step(node: fx.Node, numbers: Mapping[fx.Node, int], network: nn.Module) -> Step:
    if node.op == "get_attr":
        raise NoCertificate(
            f"no bounds are known where {type(network).__name__} uses its tensor {node.target} outside of a layer; "
            "let a layer have it"
        )
    count = next((place for place, value in enumerate(node.args) if not isinstance(value, fx.Node)), len(node.args))
    inputs, rest = node.args[:count], node.args[count:]
    if any(isinstance(value, fx.Node) for value in [*rest, *node.kwargs.values()]) or not inputs:
        raise NoCertificate(f"no bounds are known for {node.name} as it is called; give it its tensors first")
    places = tuple(numbers[value] for value in inputs)  # type: ignore[index]
    if node.op == "call_module":
        return Step(places, module=network.get_submodule(str(node.target)))
    return Step(places, function=node.target, arguments=tuple(rest), keywords=dict(node.kwargs))


class _Tracer(fx.Tracer):
    """Looks into modules that have modules of their own; the others are layers.

    What hooks of either do is not seen: those of a layer are not called, and others get no tensors but stand-ins.
    """

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        if isinstance(module, Transformed):
            raise NoCertificate("no bounds are known for a network behind a transformation; certify the bare one")
        check_hooks(module, f"the layer {name}")
        if next(module.children(), None) is not None:
            return False
        _check_methods(module, f"the layer {name}", replaced_methods(module))
        return True


def check_hooks(module: nn.Module, what: str) -> None:
    """Reject a module with hooks.

    Raises:
        NoCertificate: it has one that sees what goes in or what comes out, and may change it.
    """
    if is_hooked(module):
        raise NoCertificate(
            f"no bounds are known where {what}, a {type(module).__name__}, has a hook, which may change what it gives; "
            "remove the hook, or make a layer of it"
        )


def _check_methods(module: nn.Module, what: str, replaced: list[str]) -> None:
    if replaced:
        raise NoCertificate(
            f"no bounds are known where {what}, a {type(module).__name__}, has a {replaced[0]} of its own; "
            "build it from layers that are called as they are"
        )
