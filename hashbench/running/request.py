"""What a command or a suite asks for: text first, then registry entries with their parameters, then cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from hashbench.errors import BadInput, BadParameter
from hashbench.evaluation.foreign_code import load_split
from hashbench.evaluation.leaks import leaks
from hashbench.models.data import QuerySet, RetrievalSplit
from hashbench.readers import toml_files
from hashbench.readers.toml_files import LARGEST_SEED, MOST_BITS
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.parameters import suggestion
from hashbench.registry.protocols import Attack, Backbone, Dataset, Defense, MethodFactory
from hashbench.registry.spec import Spec
from hashbench.registry.threats import check_threat
from hashbench.registry.tracks import EVERY
from hashbench.running.cell import Cell, Subject, plan
from hashbench.running.trial_tables import SUBJECT, Tuned, format_budget
from hashbench.running.tuning import with_queries
from hashbench.threat import Threat
from hashbench.training.undefended import clean_training

F = TypeVar("F", bound=Callable[..., Any])
Load = Callable[[Choice[Dataset]], RetrievalSplit]


@dataclass(frozen=True)
class Request:
    """The settings of one matrix, as text: one subject, its defenses and its attacks.

    `tuned` is a table of tuned values for the defenses; `amp` trains in mixed precision, except where a
    model's own parameters set `amp`; `queries` are those that are judged; `access` is the only one that attacks may
    have, beside those that see nothing of the victim.
    """

    dataset: str = "digits"
    backbone: str = "cnn"
    method: str = "csq"
    bits: int = 32
    training: str = ""
    eps: str | None = None
    defenses: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    tuned: Path | None = None
    amp: bool = False
    queries: QuerySet = "queries"
    access: str | None = None
    norm: str = "linf"
    patch: int | None = None

    @property
    def bound(self) -> str:
        """What bounds an attack, as a threat's norm.

        Raises:
            BadParameter: both a norm and a patch are given.
        """
        if self.patch is None:
            return self.norm
        if self.norm != "linf":
            raise BadParameter(f"--norm={self.norm} and --patch={self.patch} exclude each other; leave one of them out")
        return f"patch-{self.patch}"

    def resolve(self) -> Resolved:
        """The registry entries that the settings name.

        Raises:
            UnknownName: a name is not registered.
            BadParameter: a parameter does not exist or can't take its value, or an attack has another access.
            BadInput: the tuned values can't be read, or lack a defense.
        """
        if not 1 <= self.bits <= MOST_BITS:
            raise BadParameter(f"bits={self.bits} is outside 1 to {MOST_BITS}")
        if odd := [seed for seed in self.seeds if not 0 <= seed <= LARGEST_SEED]:
            raise BadParameter(f"seed {odd[0]} is outside 0 to {LARGEST_SEED}")
        dataset = entries.datasets.choose(Spec.parse(self.dataset))
        backbone = entries.backbones.choose(Spec.parse(self.backbone))
        method = entries.methods.choose(Spec.parse(self.method))
        return Resolved(
            tuple(self.choose_defense(text) for text in ("none", *self.defenses)),
            tuple(self.choose_attack(text) for text in ("none", *self.attacks)),
            dataset,
            backbone,
            method,
            self.choose_training(),
            self.bits,
            None if self.eps is None else Threat(read_eps(self.eps, self.bound), self.bound),
            self.seeds,
            self.queries,
            self.bound,
            {} if self.tuned is None else {text: self._trials(self.tuned).eps(text) for text in self.defenses},
        )

    def choose_attack(self, text: str) -> Choice[Attack]:
        """An attack with its parameters.

        Raises:
            UnknownName: nothing has the name.
            BadParameter: a parameter does not exist or can't take its value, or the attack has another access than
                the one that the request allows.
        """
        chosen, known = entries.attacks.choose(Spec.parse(text)), {entry.access for entry in entries.attacks}
        if self.access and self.access not in known:
            raise BadParameter(f"no attack has access {self.access!r}{suggestion(self.access, known)}")
        if self.access and chosen.entry.access not in (self.access, EVERY):
            fitting = [entry.name for entry in entries.attacks if entry.access == self.access]
            raise BadParameter(
                f"attack {chosen.name!r} has access {chosen.entry.access}, which --access={self.access} rules out; "
                f"take one of {', '.join(fitting)}"
            )
        return chosen

    def choose_training(self) -> Choice[Any]:
        """The clean training with its parameters.

        Raises:
            BadParameter: one does not exist or can't take its value.
        """
        plain = entries.choose_clean(clean_training, self.training)
        return with_amp(plain) if self.amp and "amp=" not in self.training else plain

    def choose_defense(self, text: str) -> Choice[Defense]:
        """A defense with its parameters, with tuned values if the request names a table of them.

        Raises:
            UnknownName, BadParameter, BadInput: as `resolve`.
        """
        if self.tuned is None:
            chosen = entries.defenses.choose(Spec.parse(text))
        else:
            chosen = self._trials(self.tuned).choose(text)
        return with_amp(chosen) if self.amp and "amp" not in Spec.parse(text).params else chosen

    def _trials(self, table: Path) -> Tuned:
        """The tuned values of a table for this subject, norm and, if given, budget.

        Mixed precision shares those of full precision.
        """
        choices = (
            entries.datasets.choose(Spec.parse(self.dataset)),
            entries.backbones.choose(Spec.parse(self.backbone)),
            entries.methods.choose(Spec.parse(self.method)),
        )
        training = entries.choose_clean(clean_training, self.training)
        labels = [*(choice.label for choice in choices), str(self.bits), training.label]
        budget = {} if self.eps is None else {"eps": format_budget(read_eps(self.eps, self.bound))}
        return Tuned(table, {**dict(zip(SUBJECT, labels, strict=True)), "norm": self.bound, **budget})


@dataclass(frozen=True)
class Resolved:
    """A request as entries with their parameters; no data is loaded yet.

    `tuned_for` has the budget that tuned values were chosen under, by defense; empty where none were.
    """

    defenses: tuple[Choice[Defense], ...]
    attacks: tuple[Choice[Attack], ...]
    dataset: Choice[Dataset]
    backbone: Choice[Backbone]
    method: Choice[MethodFactory]
    training: Choice[Any]
    bits: int
    threat: Threat | None
    seeds: tuple[int, ...]
    queries: QuerySet = "queries"
    norm: str = "linf"
    tuned_for: Mapping[str, str] = field(default_factory=dict)

    def threat_on(self, split: RetrievalSplit) -> Threat:
        """The threat, with a data set's own budget where none is given."""
        return split.threat(self.norm, self.threat.eps if self.threat else None)

    def cells(self, load: Load) -> list[Cell]:
        """The cells of the matrix, once the defenses have been checked against an untrained model.

        Raises:
            UsageError: the data, the weights or a file are missing or do not fit.
        """
        from hashbench.running.victims import new_model

        split = with_queries(load(self.dataset), self.queries)
        threat = self.threat_on(split)
        for text, eps in self.tuned_for.items():
            if eps and eps != (own := format_budget(threat.eps)):
                raise BadInput(
                    f"the tuned values of {text!r} are for eps {eps}, not {own}; tune it for this budget by --eps={own}"
                )
        for attack in self.attacks:
            check_threat(attack, threat)
        for defense in self.defenses:
            check_threat(defense, split.training_threat(threat))
        subject = Subject(self.dataset, split, self.backbone, self.method, self.training, self.bits, self.queries)
        untrained = new_model(subject)
        for choice in self.defenses:
            choice.check(untrained)
        return plan(subject, threat, self.seeds, self.defenses, self.attacks)


def with_amp(choice: Choice[F]) -> Choice[F]:
    """The same training in mixed precision; a choice without the parameter `amp` is returned unchanged."""
    return replace(choice, params={**choice.params, "amp": True}) if "amp" in choice.params else choice


def load_once(tell: Callable[[str], object] | None = None) -> Load:
    """A function that loads each data set at most once.

    Args:
        tell: is told of images that are in two roles of a data set; by default they are not looked for.
    """
    loaded: dict[str, RetrievalSplit] = {}

    def load(choice: Choice[Dataset]) -> RetrievalSplit:
        words = f"{choice.name} {sorted(choice.params.items())}"
        if words not in loaded:
            loaded[words] = load_split(choice)
            if tell is not None:
                for leak in leaks(loaded[words]):
                    tell(str(leak))
        return loaded[words]

    return load


def all_cells(matrices: Sequence[Resolved], load: Load | None = None) -> list[Cell]:
    """The cells of several matrices, each once, in their order.

    Args:
        load: loads data sets; by default each is loaded once for these matrices.

    Raises:
        UsageError: data, weights or a file are missing or do not fit.
    """
    load = load or load_once()
    cells = [cell for matrix in matrices for cell in matrix.cells(load)]
    return list({cell.key: cell for cell in cells}.values())


def read_eps(text: str, norm: str = "linf") -> float:
    """A budget from the command line.

    Raises:
        BadParameter: the text is not a number from 0 to 1, or no radius for l2.
    """
    try:
        return toml_files.read_eps(text, toml_files.WIDEST if norm == "l2" else 1)
    except BadInput as error:
        raise BadParameter(f"--eps={error}") from None
