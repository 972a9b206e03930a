"""Submissions that try to stop or to fool `hashbench verify`: each is refused by name, soon, and the next is judged."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from invented_submissions import IDENTITY, QUERIES, invented_arrays, invented_record, write_submission
from npz_archives import archive, header

from hashbench.digests import signed
from hashbench.verification.submission import verify_submission

Spoil = Callable[[Path], None]
Arrays = dict[str, np.ndarray[Any, Any]]


def judged(folder: Path) -> list[str]:
    """The problems of a folder, found soon and in little memory, each in one harmless line."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = verify_submission(folder)
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kilobytes
    assert all(line.isprintable() and len(line) <= 1000 for line in found.lines())
    return found.problems


def linked(name: str, target: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return spoil


def outside(name: str) -> Spoil:
    """A link to a whole and valid file that lies outside of the folder."""

    def spoil(folder: Path) -> None:
        shutil.move(folder / name, folder.parent / f"kept-{name}")
        (folder / name).symlink_to(folder.parent / f"kept-{name}")

    return spoil


def piped(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return spoil


def foldered(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name / "more").mkdir(parents=True)

    return spoil


def sparse(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        with (folder / name).open("ab") as file:
            file.truncate(1 << 40)

    return spoil


def text(content: str | bytes, name: str = "run.json") -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def recorded(**changed: Any) -> Spoil:
    """Another identity, under a digest that is right for it."""
    return text(json.dumps(invented_record(**changed)))


def lacking(field: str) -> Spoil:
    identity = {name: value for name, value in IDENTITY.items() if name != field}
    return text(json.dumps(signed({**UNSIGNED, "identity": identity})))


def arrays(**changed: Any) -> Spoil:
    """Other arrays; a function gets the valid one."""

    def spoil(folder: Path) -> None:
        held = invented_arrays()
        for name, value in changed.items():
            held[name] = value(held[name].copy()) if callable(value) else value
        np.savez_compressed(folder / "queries.npz", **held)  # type: ignore[arg-type]

    return spoil


def headers(**options: str) -> Spoil:
    def spoil(folder: Path) -> None:
        archive(folder / "queries.npz", {f"{name}.npy": header(**options) for name in invented_arrays()})

    return spoil


def unpacking(folder: Path) -> None:
    """Six hundred megabytes of zeros in less than three."""
    held = header("'|u1'", "(60000000,)") + bytes(60_000_000)
    with zipfile.ZipFile(folder / "queries.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name in (*invented_arrays(), "low", "high"):
            file.writestr(f"{name}.npy", held)


class Trap:
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, ("sprung",)


def objects(folder: Path) -> None:
    held = {**invented_arrays(), "items": np.array([Trap()], dtype=object)}
    np.savez(folder / "queries.npz", **held)  # type: ignore[arg-type]


def overlong(folder: Path) -> None:
    (folder / ("x" * 255)).write_text("")
    (folder / "a\nb: verified, 9 cells recomputed").write_text("")
    (folder / "\x1b[2J\x1b[31m").write_text("")


def deep(folder: Path) -> None:
    (folder / "/".join("abcdefghijkl")).mkdir(parents=True)


def set_one(value: Any) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    def change(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        array.flat[0] = value
        return array

    return change


UNSIGNED = {name: value for name, value in invented_record().items() if name != "record_digest"}
FORGED = "1\n/elsewhere: verified, 9 cells recomputed"
CASES: dict[str, tuple[Spoil, str]] = {
    "run-endless": (linked("run.json", "/dev/zero"), "run.json is a link"),
    "queries-endless": (linked("queries.npz", "/dev/zero"), "queries.npz is a link"),
    "weights-endless": (linked("model.safetensors", "/dev/zero"), "model.safetensors is a link"),
    "run-random": (linked("run.json", "/dev/urandom"), "run.json is a link"),
    "run-pipe": (piped("run.json"), "run.json is a named pipe"),
    "queries-pipe": (piped("queries.npz"), "queries.npz is a named pipe"),
    "weights-pipe": (piped("model.safetensors"), "model.safetensors is a named pipe"),
    "run-outside": (outside("run.json"), "run.json is a link"),
    "queries-outside": (outside("queries.npz"), "queries.npz is a link"),
    "loop": (linked("run.json", "run.json"), "run.json is a link"),
    "dangling": (linked("queries.npz", "absent"), "queries.npz is a link"),
    "run-folder": (foldered("run.json"), "run.json is a folder"),
    "queries-folder": (foldered("queries.npz"), "queries.npz is a folder"),
    "run-terabyte": (sparse("run.json"), "run.json is larger than 1 MB"),
    "queries-terabyte": (sparse("queries.npz"), "queries.npz"),
    "weights-terabyte": (sparse("model.safetensors"), "model.safetensors"),
    "no-queries": (lambda folder: (folder / "queries.npz").unlink(), "queries.npz is not there"),
    "more-files": (text(pickle.dumps(Trap()), "model.pth"), "model.pth is not part of a submission and was not opened"),
    "plugin": (text("import os; os.mkdir('sprung')", "plugin.py"), "plugin.py is not part of a submission"),
    "odd-names": (overlong, "has a control character or undecodable bytes in its name"),
    "deep-folders": (deep, "nests folders deeper than"),
    "trillion-rows": (headers(shape="(1000000000000, 17)"), "claims an array of"),
    "negative-shape": (headers(shape="(-1, 17)"), "shape"),
    "many-sides": (headers(shape=f"({'1, ' * 100})"), "shape"),
    "dimension-of-4000-digits": (headers(shape=f"({'9' * 4000},)"), "shape"),
    "code-in-header": (headers(shape="(__import__('os').mkdir('sprung'),)"), "shape"),
    "unpacks-to-600-mb": (unpacking, "512 MB is the most that is read"),
    "objects": (objects, "holds Python objects, which are never loaded"),
    "pickle": (text(pickle.dumps(Trap()), "queries.npz"), "no .npz file"),
    "weights-pickle": (text(pickle.dumps(Trap()), "model.safetensors"), "is not an intact safetensors file"),
    "nested-lists": (text("[" * 5000), "nests lists and objects deeper than"),
    "nested-100000": (text('{"a":' * 100_000), "nests lists and objects deeper than"),
    "nan": (text('{"numbers": NaN}'), "holds NaN, which is not a number"),
    "huge-number": (text('{"key": 1e999}'), "too large for a number"),
    "long-number": (text('{"key": ' + "9" * 5000 + "}"), "a whole number of more than 64 bits"),
    "twice": (text('{"key": "a", "key": "b"}'), "twice in one object"),
    "half-a-character": (text('{"key": "\\ud800"}'), "half a character"),
    "latin-1": (text(b'{"key": "\xe9"}'), "run.json"),
    "empty": (text(""), "is not JSON"),
    "list": (text("[1, 2]"), "run.json is not a record of a cell"),
    "field-of-no-record": (text(json.dumps(signed({**UNSIGNED, "more": 1}))), "more"),
    "own-digest": (text(json.dumps({**invented_record(), "status": "invalid"})), "its own digest is another"),
    "no-defense": (recorded(defense=""), "its defense is '', which names nothing"),
    "parameters-only": (recorded(defense=":x"), "its defense is ':x', which names nothing"),
    "spaces-only": (recorded(attack="  "), "its attack is '  ', which names nothing"),
    "half-a-parameter": (recorded(attack="hag:steps"), "its attack is 'hag:steps', which names nothing"),
    "parameter-twice": (recorded(attack="hag:steps=1,steps=2"), "which names nothing"),
    "forged-protocol": (recorded(protocol_version=FORGED), "protocol_version"),
    "forged-schema": (recorded(schema_version=FORGED), "schema_version"),
    "forged-defense": (recorded(defense=f"cgat {FORGED}"), "its defense is"),
    "forged-attacker": (recorded(attacker=FORGED), "its attacker is"),
    "escape-codes": (recorded(dataset="\x1b[2Jdigits"), "its dataset is"),
    "right-to-left": (recorded(method="csq\u202e"), "its method is"),
    "long-name": (recorded(defense="x" * 5000), "its defense is"),
    "number-for-name": (recorded(defense=5), "its defense is 5"),
    "list-for-name": (recorded(attack=["hag"]), "its attack is a list of 1"),
    "eps-510": (recorded(eps=2.0), "its eps is 2.0"),
    "eps-negative": (recorded(eps=-0.1), "its eps is -0.1"),
    "eps-text": (recorded(eps="8/255"), "its eps is '8/255'"),
    "bits-0": (recorded(bits=0), "bits"),
    "bits-true": (recorded(bits=True), "its bits is true"),
    "bits-large": (recorded(bits=10**18), "bits"),
    "bits-others": (recorded(bits=32), "items is int"),
    "seed-negative": (recorded(seed=-1), "seed"),
    "seed-large": (recorded(seed=2**32), "seed"),
    "params-list": (recorded(attack_params=[1]), "its attack_params are not a table"),
    "versions-text": (recorded(versions="1"), "its versions are not a table"),
    "field-missing": (lacking("attacker"), "its attacker is nothing"),
    "targeted-without-targets": (recorded(goal="targeted"), "lacks target_average_precision"),
    "invalid-cell": (recorded(status="invalid"), "is of an invalid cell; only valid ones are taken"),
    "status-of-my-own": (recorded(status=FORGED), "only valid ones are taken"),
    "numbers-text": (recorded(numbers={"map": "high"}), "map is 'high'"),
    "numbers-deep": (recorded(numbers={"map": {"a": 1}}), "map is a table of 1 keys"),
    "numbers-none": (recorded(numbers={}), "run.json: map is nothing"),
    "numbers-better": (recorded(numbers={"map": 0.99}), "run.json: map is 0.99"),
    "counts-contradict": (arrays(relevant=lambda a: a + 1), "its counts of items contradict one another"),
    "counts-negative": (arrays(relevant=set_one(-1)), "its counts of items contradict one another"),
    "counts-wrap": (arrays(items=lambda a: a.astype(np.uint64) + np.uint64(2**63)), "contradict one another"),
    "counts-of-other-sums": (arrays(items=set_one(7)), "its counts of items contradict one another"),
    "counts-real": (arrays(items=lambda a: a.astype(float)), "items is float64"),
    "nothing-relevant": (arrays(relevant=lambda a: a * 0), "no query has a relevant item"),
    "no-queries-at-all": (arrays(**{name: (lambda a: a[:0]) for name in invented_arrays()}), "items is"),
    "one-number": (arrays(items=np.array(5)), "queries.npz"),
    "ap-2d": (arrays(average_precision=lambda a: a[:, None]), "average_precision is float64 [12, 1]"),
    "ap-of-others": (arrays(average_precision=lambda a: np.ones_like(a)), "APs are not those of its counts"),
    "ap-nan": (arrays(average_precision_8bit=set_one(np.nan)), "average_precision_8bit holds NaN or infinity"),
    "l2-infinite": (arrays(l2=set_one(np.inf)), "l2 holds NaN or infinity"),
    "linf-negative": (arrays(linf=set_one(-0.1)), "linf holds -0.1"),
    "beyond-budget": (arrays(linf=set_one(0.2)), "a pixel moved by 51/255"),
    "codes-signed": (arrays(codes=lambda a: a.astype(np.int8)), "codes is int8"),
    "codes-fewer": (arrays(codes=lambda a: a[:-1]), "codes is uint8 [11, 2]; wanted [12, 2]"),
    "complex": (arrays(linf=lambda a: a.astype(np.complex64)), "linf"),
    "too-many-values": (arrays(items=np.zeros((800_000, 17), np.uint8)), "items has 13,600,000 values"),
    "identity-of-another": (arrays(identity=np.array(json.dumps({**IDENTITY, "seed": 1}))), "belongs to another cell"),
    "identity-of-numbers": (arrays(identity=np.arange(9)), "does not say which cell it belongs to"),
    "identity-nested": (arrays(identity=np.array("[" * 5000)), "does not say which cell it belongs to"),
}  # fmt: skip


def test_the_submission_that_all_others_are_made_of_is_verified(tmp_path: Path) -> None:
    assert judged(write_submission(tmp_path / "sent")) == []
    assert len(invented_arrays()["items"]) == QUERIES


@pytest.mark.parametrize("name", CASES)
def test_each_hostile_submission_is_refused_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spoil, message = CASES[name]
    folder = write_submission(tmp_path / "sent")
    spoil(folder)
    problems = judged(folder)
    assert any(message in line for line in problems), problems
    assert not Path("sprung").exists()


def test_one_command_gives_each_folder_one_verdict_and_prints_no_forged_one(command: Command) -> None:
    quick = [name for name in CASES if not name.startswith("unpacks")]
    for name in quick:
        CASES[name][0](write_submission(Path("all") / name))
    write_submission(Path("all") / "forged\n/elsewhere: verified, 9 cells recomputed")
    write_submission(Path("all") / "[bold red]marked[/]")
    write_submission(Path("all") / "zz-last")
    (Path("all") / "aa-loop").symlink_to(Path.cwd())
    outcome = command("verify", "all")
    assert (outcome.code, outcome.err) == (1, "")
    lines = outcome.out.splitlines()
    assert all(line.isprintable() for line in lines)
    verdicts = [line for line in lines if not line.startswith("  ")]
    assert verdicts[-1].startswith("taken on trust")
    assert len(verdicts) == len(quick) + 3 + 1
    found = dict(line.split(": ", 1) for line in verdicts[:-1] if r"forged\x0a" not in line)
    assert all(found[f"all/{name}"].startswith("REFUSED, ") for name in quick)
    assert found["all/zz-last"] == found["all/[bold red]marked[/]"] == "verified, 1 cells recomputed"
    (forged,) = (line for line in verdicts if r"forged\x0a" in line)
    assert forged == r"all/forged\x0a/elsewhere: verified, 9 cells recomputed: verified, 1 cells recomputed"
