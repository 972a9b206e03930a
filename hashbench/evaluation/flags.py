"""Flags: what the signals of a probe reveal about a row, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashbench.evaluation.judge import Arrays, Numbers
from hashbench.metrics.bootstrap import Floats, estimate

# A difference counts where the lower bound of its bootstrap interval is above the margin.
MARGIN = 0.01  # one mAP point; sound models are on the safe side by 4 to 60 points
NO_GRADIENT_SHARE = 0.05  # of queries; 0 on sound models, 0.6 to 1 on masked ones
SATURATED_SHARE = 0.9  # of relaxed bits; sound models on easy data reach 0.99, so SATURATED_GAIN is required too
SATURATED_GAIN = 0.1  # mAP that a gentle tanh takes off; at most 0.02 on sound models, 0.25 to 0.5 behind a steep tanh
NOISE_SHARE = 0.9  # of the white-box attack's harm; at most 0.05 on sound models
ABOVE_CHANCE = 0.1  # clean mAP; a model that learned anything is above
STILL_SHARE = 0.05  # of queries; 0 on sound models, 1 behind a look-up
WRONG_SHARE = 0.1  # of derivatives; 0 on sound models, 0.4 and more where gradients are another function's
FALL = 0.2  # mAP that images in no file take off; at most 0.03 on sound models, 0.75 behind a look-up
ATTACKED_FALL = 0.4  # likewise under attack; at most 0.25 on sound models, which have less of a margin there
CODES_A_CLASS = 0.5  # database codes for each class; easy data have one code a class, all told
TIE_WIDTH = 0.2  # mean span of AP over the orders of tied items; 0.01 to 0.09 on sound models
BATCH_CHANGE = 1e-3  # mean change of relaxed codes with the batch; rounding changes them by less than 1e-5


NOT_PROBED, STATEFUL, ABOVE_PROBE = "not_probed", "stateful", "table_above_probe"


@dataclass(frozen=True)
class Flag:
    """A finding: what it means, what to do, and whether it shows that attacks were hindered rather than withstood."""

    name: str
    meaning: str
    advice: str
    masking: bool = False


_ALL = (
    Flag(
        "train_mode",
        "parts of the model stay in train mode, or an image's code depends on the images beside it",
        "make model.eval() reach every layer, and use running statistics",
    ),
    Flag(
        "stochastic",
        "two passes over the same image give different codes",
        "average over more draws; single numbers of this row vary with the draw",
    ),
    Flag(
        "collapsed_codes",
        "codes are hardly better than one code for everything, so there is nothing to attack",
        "train longer or with another learning rate, and look at the clean mAP",
    ),
    Flag(
        "high_tie_mass",
        "many database items are tied, so mAP depends on the order of ties",
        "use more bits or look for constant ones; read the bounds beside each mAP",
    ),
    Flag(
        "zero_gradient",
        "pixels have no gradient, so white-box attacks can't move",
        "wrap the step without a gradient in straight_through",
        True,
    ),
    Flag(
        "saturated",
        "the tanh is so steep that attacks through it see almost no gradient",
        "scale the logits down, or trust only attacks on logits",
        True,
    ),
    Flag(
        "outputs_do_not_move",
        "logits do not move within eps, or are too small for 32-bit floats",
        "look for look-ups and roundings before the code, and scale the logits to about 1",
        True,
    ),
    Flag(
        "more_steps_do_worse",
        "one step does more harm than twenty",
        "look for gradients that are right only near clean images; rank by an adaptive attack",
        True,
    ),
    Flag(
        "more_budget_does_worse",
        "attacks with a larger budget do less harm",
        "look for gradients that are wrong far from clean images; rank by an adaptive attack",
        True,
    ),
    Flag(
        "black_box_beats_white_box",
        "an attack without gradients does more harm than those with them",
        "find where the gradient is wrong; rank by an adaptive attack",
        True,
    ),
    Flag(
        "unbounded_not_broken",
        "with any perturbation allowed, mAP stays above chance, so the attack fails",
        "rank by an adaptive attack that brings mAP to chance at eps = 1",
        True,
    ),
    Flag(
        "only_known_images",
        "slightly turned, shifted or mixed queries fare far worse than those of the data set",
        "find what knows the images of the data set",
        True,
    ),
    Flag(
        "gradient_disagrees",
        "logits do not change as their gradient says, or are others where a gradient is asked for",
        "return the function's own gradient, or mark the part without one by straight_through",
        True,
    ),
    Flag(
        "noise_as_strong",
        "random noise does as much harm as the attack",
        "use a stronger attack; if it does no more harm, the model breaks under any noise",
    ),
    Flag(
        STATEFUL,
        "a process that has seen nothing of the evaluation gives other codes, or none",
        "make a code of its image and the weights alone, and let a process of its own load the plugin",
        True,
    ),
    Flag(
        ABOVE_PROBE,
        "the probe's small attacks do more harm than all of the table's on the same queries",
        "run it with --attack standard, and find what misleads the attacks of the table",
        True,
    ),
    Flag(
        NOT_PROBED,
        "the probe failed, so it is unknown whether attacks were hindered",
        "fix the error that it reports and run again",
        True,
    ),
)
FLAGS = {flag.name: flag for flag in _ALL}


def meanings() -> dict[str, str]:
    """What each flag means and what to do about it, by its name."""
    return {flag.name: f"{flag.meaning}; {flag.advice}" for flag in FLAGS.values()}


def raised(numbers: Numbers, arrays: Arrays, bits: int) -> list[str]:
    """The names of the flags that a probe raises, in the order of `FLAGS`.

    A finding that explains others replaces them: parts in train mode replace random codes, collapsed codes everything
    below, and the first sign of a hindered attack the later ones, since what fails at eps fails in the same way at
    eps = 1.

    Args:
        numbers: numbers of `evaluation.probe.probe`.
        arrays: arrays of the same probe.
        bits: the length of the model's codes; fewer bits than classes need can't tell all classes apart.
    """
    sure = _lower_bounds(_differences(arrays))
    unstable = numbers["unstable_share"] > 0
    found = []
    if numbers["train_mode_left"] or (numbers["batch_change"] > BATCH_CHANGE and not unstable):
        found.append("train_mode")
    elif unstable:
        found.append("stochastic")
    if numbers["distinct_codes"] < CODES_A_CLASS * min(numbers["classes"], 2**bits) or sure["below_chance"] > 0:
        return [*found, "collapsed_codes"]
    if sure["ties"] > TIE_WIDTH:
        found.append("high_tie_mass")
    return found + _hindered(numbers, sure)


def _hindered(numbers: Numbers, sure: dict[str, float]) -> list[str]:
    """The name of the first sign that attacks were hindered, if there is one."""
    alarms = {
        "zero_gradient": sure["zero_gradient"] > NO_GRADIENT_SHARE,
        "saturated": numbers["saturated_share"] > SATURATED_SHARE and sure["gentle"] > SATURATED_GAIN,
        "outputs_do_not_move": sure.get("still", -1) > STILL_SHARE,
        "more_steps_do_worse": sure["one_step"] > MARGIN,
        "more_budget_does_worse": max((sure[name] for name in sure if name.startswith("budget")), default=-1) > MARGIN,
        "black_box_beats_white_box": max(sure["black_box"], sure.get("transfer", -1)) > MARGIN,
        "unbounded_not_broken": sure["unbounded"] > MARGIN,
        "only_known_images": sure.get("new", -1) > FALL or sure.get("new_attacked", -1) > ATTACKED_FALL,
        "gradient_disagrees": sure.get("wrong_gradient", -1) > WRONG_SHARE,
        "noise_as_strong": sure["noise_harm"] > MARGIN and sure["noise_share"] > 0,
    }
    return [name for name, alarm in alarms.items() if alarm][:1]


def is_above(table: Floats, arrays: Arrays) -> bool:
    """Whether a table's worst case is above what the probe's white-box attacks and its transfer leave.

    Args:
        table: AP [queries of the set] that the table's attacks leave at the lowest.
        arrays: of the probe; one of version 1 does not say which queries it looked at.
    """
    if "rows" not in arrays:
        return False
    reached = np.minimum(white_box(arrays), arrays.get("transfer", np.inf))
    above = table[arrays["rows"]] - reached
    known = above[~np.isnan(above)]
    return _lower_bounds({"above": known})["above"] > MARGIN


def white_box(arrays: Arrays) -> Floats:
    """The AP [queries] that the strongest white-box attack of a probe leaves at the threat's eps."""
    lowest: Floats = np.minimum(_many(arrays), arrays["one_step"])
    return lowest


def curve(arrays: Arrays) -> tuple[list[float], Floats]:
    """Budgets from 0 up, and the AP [budgets, queries] that is left at each.

    An image found with a smaller budget is within a larger one too, so the lowest AP so far counts, and the curve
    never rises.
    """
    at = len(arrays["plain"]) - 1
    fresh = [*arrays["plain"][:at], _many(arrays), *arrays["gentle"][1:]]
    return [0.0, *arrays["budgets"].tolist()], np.minimum.accumulate([arrays["clean"], *fresh])


def _many(arrays: Arrays) -> Floats:
    both: Floats = np.minimum(arrays["plain"][-1], arrays["gentle"][0])
    return both


def _differences(arrays: Arrays) -> dict[str, Floats]:
    """The signals that must not exceed a threshold, each [queries]."""
    clean, white = arrays["clean"], white_box(arrays)
    found = {
        "below_chance": arrays["chance"] + ABOVE_CHANCE - clean,
        "ties": arrays["high"] - arrays["low"],
        "zero_gradient": arrays["zero_gradient"],
        "gentle": arrays["plain"][-1] - arrays["gentle"][0],
        "one_step": _many(arrays) - arrays["one_step"],
        "unbounded": curve(arrays)[1][-1] - arrays["chance"],
        "noise_harm": clean - arrays["noise"],
        "noise_share": (clean - arrays["noise"]) - NOISE_SHARE * (clean - white),
    }
    found |= {name: white - arrays[name] for name in ("black_box", "transfer") if name in arrays}
    found |= {name: arrays[name] for name in ("still", "wrong_gradient") if name in arrays}
    if "new" in arrays:  # from version 2 of the probe on
        found |= {"new": arrays["noise"] - arrays["new"], "new_attacked": arrays["gentle"][0] - arrays["new_attacked"]}
    bounded = arrays["gentle"][:-1] if arrays["budgets"][-1] >= 1 else arrays["gentle"]
    for name, walks in (("plain", arrays["plain"]), ("gentle", bounded)):
        for more in range(len(walks)):
            found |= {f"budget {name} {more} {less}": walks[more] - walks[less] for less in range(more)}
    return found


def _lower_bounds(differences: dict[str, Floats]) -> dict[str, float]:
    values = np.stack(list(differences.values()))[:, None, :]
    if values.shape[2] < 2:  # an interval needs two queries
        return dict.fromkeys(differences, -1.0)
    return dict(zip(differences, estimate(values).low.tolist(), strict=True))
