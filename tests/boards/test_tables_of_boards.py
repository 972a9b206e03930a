"""Tables and lines of a leaderboard beside the cells: certificates, probes, sections of the page, evidence files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from toy_results import result

from hashbench.boards import certificates, probe_tables
from hashbench.boards.certificates import DefenseCertificate, certificate_lines, certificate_table, of_defenses
from hashbench.boards.evidence_files import PROBES, read_evidence, save_evidence
from hashbench.boards.probe_tables import ProbeReport, lines, tables, with_table
from hashbench.boards.query_files import RANKING_VERSION, check_digests, read_arrays, save_queries, write_digests
from hashbench.errors import BadInput
from hashbench.running.store import Result

Arrays = Mapping[str, np.ndarray]


def certificate(defense: str, seed: int, **changes: Any) -> tuple[Result, dict[str, np.ndarray]]:
    made = result(defense, "none", 0.5, seed)
    arrays = {
        "certified": np.array([0.2, 0.4, np.nan, 0.6]) + 0.1 * seed, "clean": np.array([0.8, 0.9, np.nan, 1.0]),
        "free_bits": np.array([0, 1, 2, 5]), "exact": np.array([1, 1, 0, 0]),
    }  # fmt: skip
    numbers = {**made.numbers, "model_digest": "m" * 16}
    return replace(made, key=f"own-{seed}", numbers=numbers, host={"certificate_seconds": 2.34}, **changes), arrays


def test_a_table_of_certificates_and_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    own, arrays = certificate("cgat", 0)
    other, _ = certificate("cgat", 1)
    held: dict[str, np.ndarray] = {}
    cells = []
    for attack, values in (
        ("none", [0.9, 0.9, 0.0, 1.0]),
        ("pgd", [0.5, 0.8, 0.0, 0.7]),
        ("hag", [0.6, 0.5, 0.0, 0.9]),
    ):
        cell = result("cgat", attack, 0.5)
        cells.append(replace(cell, numbers={**cell.numbers, "model_digest": "m" * 16}))
        held[cells[-1].key] = np.array(values)
    cells += [
        replace(cells[1], key="invalid", status="invalid"),
        replace(cells[1], key="other model", numbers={"model_digest": "n" * 16}),
        replace(cells[1], key="oblivious", identity={**cells[1].identity, "attacker": "oblivious"}),
        replace(cells[1], key="targeted", identity={**cells[1].identity, "goal": "targeted"}),
        replace(cells[1], key="other seed", identity={**cells[1].identity, "seed": 7}),
    ]
    monkeypatch.setattr(certificates, "certificate_key", lambda identity, goal: f"own-{identity['seed']}")
    store: Any = SimpleNamespace(cells=lambda: cells, arrays=lambda r: {"average_precision": held[r.key]})
    first, second = certificate_table([(own, arrays), (other, certificate("cgat", 1)[1])], store).to_dict("records")
    assert first["certified"] == pytest.approx(0.4)
    assert first["ci_low"] < 0.4 < first["ci_high"]
    assert first["map_worst"] == pytest.approx((0.5 + 0.5 + 0.7) / 3, abs=1e-6)
    assert first["attacks"] == "hag pgd"
    assert first["map_low_clean"] == pytest.approx(0.9)
    assert [first[name] for name in ("free_bits", "untouched_share", "exact_share", "n_queries")] == [2, 0.25, 0.5, 3]
    assert (second["seed"], second["certified"], second["map_worst"], second["attacks"]) == (1, 0.5, None, "")
    both = [(own, arrays), (other, certificate("cgat", 1)[1])]
    title, line, unattacked = certificate_lines(both, certificate_table(both, store))
    assert title == (
        "digits, cnn, csq, 32 bits; l-inf eps 8/255; certified mAP: no attack within the budget can go below it"
    )
    low, high = (f"{100 * first[name]:.1f}" for name in ("ci_low", "ci_high"))
    assert line == (
        f"cgat, seed 0: certified 40.0 [{low}, {high}], worst case 56.7 under hag pgd, clean 90.0 in the "
        "worst order of ties; 2.0 bits may change, 25 % of the queries can't be touched; 2.3 s"
    )
    assert ", worst case not attacked yet, clean" in unattacked
    assert certificate_lines([], certificate_table([], store)) == []


def test_certificates_of_a_defense_are_those_of_all_its_seeds_or_none() -> None:
    found = {("cgat", seed): certificate("cgat", seed) for seed in (0, 1)}
    found["mine", 0] = certificate("mine", 0, status="invalid", reason="it draws random numbers")
    whole, lacking, refused, absent = of_defenses(
        [("cgat", (0, 1)), ("cgat", (0, 1, 2, 3)), ("mine", (0,)), ("yours", (0,))], found
    )
    assert whole.value == pytest.approx(0.45)
    assert whole.values.shape == (2, 3)
    assert whole.free.shape == (2, 4)
    assert whole.interval
    assert whole.columns == {
        "certified": whole.value, "certified_ci_low": whole.interval.low, "certified_ci_high": whole.interval.high,
        "free_bits": 2.0, "untouched_share": 0.25,
    }  # fmt: skip
    assert (lacking.value, lacking.note) == (
        None,
        "no certificate: seed 2 3 has none; run it again without --certify no",
    )
    assert (refused.value, refused.reason) == (None, "it draws random numbers")
    assert (absent.value, absent.note) == (None, "")
    assert DefenseCertificate().columns == dict.fromkeys(certificates.IN_RANKING)


def test_only_what_a_certificate_bounds_has_it() -> None:
    cells = [
        result("cgat", "pgd", 0.5), result("cgat", "hag", 0.5, goal="targeted"),
        result("cgat", "noise", 0.5, attacker="oblivious"), result("cgat", "bad", None), result("none", "pgd", 0.5),
    ]  # fmt: skip
    columns = certificates.cell_columns(cells, lambda r: {}, {("cgat", 0): certificate("cgat", 0)})
    assert {key: found["certified"] for key, found in columns.items() if "certified" in found} == {
        cells[0].key: pytest.approx(0.4)
    }


def report(defense: str, seed: int, flags: tuple[str, ...] = (), reason: str = "") -> ProbeReport:
    signals = {"n_queries": 4, "map_clean": 0.9 - 0.1 * seed}
    return ProbeReport(defense, seed, flags, signals, ((0.0, 0.9, 0.8, 0.95), (0.1, 0.5, None, None)), reason)


def test_lines_of_flags_name_seeds_where_there_are_several() -> None:
    found = [
        report("one", 0, ("stochastic",)), report("two", 0, ("zero_gradient",)), report("two", 1, ("zero_gradient",)),
        report("three", 0), report("three", 1, ("stochastic",)), report("four", 2, ("not_probed",), "out of memory"),
    ]  # fmt: skip
    meaning = "two passes over the same image give different codes; average over more draws; single numbers of this row"
    assert lines(found) == [
        f"flag: one: stochastic: {meaning} vary with the draw",
        "flag: two, seeds 0, 1: zero_gradient: pixels have no gradient, so white-box attacks can't move; wrap the step "
        "without a gradient in straight_through (its numbers can't be trusted yet)",
        f"flag: three, seed 1: stochastic: {meaning} vary with the draw",
        "not_probed: four, seed 2: out of memory",
    ]


def test_tables_of_probes_have_a_row_for_each_model_and_each_budget() -> None:
    made = tables([report("one", 0, ("a", "b")), report("two", 1)])
    sanity = made["sanity"]
    assert sanity["flags"].tolist() == ["a b", ""]
    assert sanity["map_clean"].tolist() == [0.9, 0.8]
    assert sanity["map_noise"].tolist() == [None, None]
    assert made["curve"].to_dict("list") == {
        "defense": ["one", "one", "two", "two"], "seed": [0, 0, 1, 1], "eps": [0, 0.1, 0, 0.1],
        "map": [0.9, 0.5, 0.9, 0.5], "ci_low": [0.8, None, 0.8, None], "ci_high": [0.95, None, 0.95, None],
        "n_queries": [4, 4, 4, 4],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "numbers", "flags"),
    [
        ({}, {}, ("table_above_probe",)),
        ({}, {"unstable_share": 0.5}, ()),
        ({"access": "black"}, {}, ()),
        ({"norm": "patch-3"}, {}, ()),
        ({"attacker": "oblivious"}, {}, ()),
        ({"goal": "targeted"}, {}, ()),
        ({"attack": "none"}, {}, ()),
    ],
)
def test_a_table_is_held_against_its_probe_by_white_box_attacks_of_the_same_norm(
    changes: dict[str, Any], numbers: dict[str, Any], flags: tuple[str, ...]
) -> None:
    probe = replace(result("one", "none", 0.5), numbers={"unstable_share": 0.0, **numbers})
    level = np.full(4, 0.3)
    arrays = {"rows": np.arange(4), "plain": level[None], "gentle": level[None], "one_step": level}
    plain = result("one", "pgd", 0.5)
    own = replace(plain, identity={**plain.identity, **changes})
    found = with_table(replace(report("one", 0), evidence=(probe, arrays)), [(own, {"average_precision": level + 0.2})])
    assert found.flags == flags
    lower = with_table(replace(report("one", 0), evidence=(probe, arrays)), [(own, {"average_precision": level})])
    assert lower.flags == ()


def test_a_stateful_model_is_flagged_by_any_of_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_tables, "is_stateful", lambda numbers: numbers["map"] > 0.6)
    cells = [
        (result("one", attack, level), {"average_precision": np.ones(4)}) for attack, level in (("a", 0.5), ("b", 0.7))
    ]
    assert with_table(report("one", 0, ("x",)), cells).flags == ("x", "stateful")
    assert with_table(report("one", 0, ("x",)), cells[:1]).flags == ("x",)


def test_evidence_is_read_back_and_that_of_others_goes(tmp_path: Path) -> None:
    probe = replace(result("one", "none", 0.5), reason="a reason")
    save_evidence(tmp_path, PROBES, [(probe, {"clean": np.arange(3.0)}), (replace(probe, key="old"), {})])
    save_evidence(tmp_path, PROBES, [(probe, {"clean": np.arange(3.0)})])
    assert [path.name for path in (tmp_path / PROBES).iterdir()] == [f"{probe.key}.npz"]
    found, arrays = read_evidence(tmp_path, f"{PROBES}/{probe.key}.npz")
    assert found == replace(probe, host={})
    assert arrays["clean"].tolist() == [0, 1, 2]
    assert list(arrays) == ["clean"]
    for odd in (np.arange(2), np.array(["a", "b"]), np.array(3)):
        np.savez(tmp_path / "odd.npz", record=odd)
        with pytest.raises(BadInput, match=r"odd\.npz does not say which model it belongs to"):
            read_evidence(tmp_path, "odd.npz")


def test_files_of_queries_are_narrow_know_their_cell_and_go_with_it(tmp_path: Path) -> None:
    cells = [result("one", "pgd", 0.5), result("one", "hag", 0.5), result("one", "none", 0.5)]
    held = {"items": np.array([0, 65535]), "wide": np.array([0, 65536]), "below": np.array([-1, 2]), "low": np.ones(2),
            "high": np.ones(2), "ap": np.array([0.5, 0.25])}  # fmt: skip
    save_queries(tmp_path, cells, lambda r: held if r.identity["attack"] != "none" else {})
    save_queries(tmp_path, cells[:1], lambda r: held)
    (path,) = (tmp_path / "queries").iterdir()
    arrays = read_arrays(path)
    assert {name: array.dtype.str for name, array in arrays.items() if name != "identity"} == {
        "items": "<u2", "wide": "<i8", "below": "<i8", "ap": "<f8",
    }  # fmt: skip
    assert json.loads(str(arrays["identity"])) == cells[0].identity


def test_each_file_of_a_folder_has_its_digest_but_those_that_are_added_later(tmp_path: Path) -> None:
    for name in (
        "results.csv",
        "provenance.csv",
        "compare-a-vs-b.csv",
        "queries/a.npz",
        ".hidden",
        "zoo/w.safetensors",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    write_digests(tmp_path)
    written = json.loads((tmp_path / "digests.json").read_text())
    assert list(written["sha256"]) == ["queries/a.npz", "results.csv"]
    assert written["evidence"] == ["queries", "probes", "certificates"]
    assert written["ranking"] == RANKING_VERSION
    assert check_digests(tmp_path) == []
    (tmp_path / "provenance.csv").write_text("other")
    (tmp_path / "results.csv").write_text("other")
    (tmp_path / "queries" / "a.npz").rename(tmp_path / "queries" / "b.npz")
    problems = check_digests(tmp_path)
    assert problems[0] == "queries/b.npz is not in digests.json"
    changed = "was changed after it was written: its SHA-256 is not the one in digests.json"
    assert problems[1:] == [
        f"provenance.csv {changed}", "queries/a.npz is missing, but digests.json lists it", f"results.csv {changed}",
    ]  # fmt: skip
