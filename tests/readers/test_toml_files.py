"""Suite files from anyone: shallow, typed, in range, and small when written out."""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from valid_files import SUITE

from hashbench.errors import BadInput
from hashbench.readers.toml_files import read_eps, read_suite_tables, read_toml


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def refusal(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    start = time.process_time()
    with pytest.raises(BadInput) as caught:
        read_suite_tables(path)
    assert time.process_time() - start < 3
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    assert "mine.toml" in message
    return message


def test_a_suite_is_read(path: Path) -> None:
    path.write_text(SUITE)
    assert asdict(read_suite_tables(path, path.parent)) == {
        "title": "A look",
        "paper": "one line",
        "runs": (
            {
                "dataset": ["digits", "digits-collage"],
                "bits": [16, 32],
                "seed": [0, 1],
                "eps": "8/255",
                "defense": [],
                "attack": ["noise"],
            },
        ),
    }


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "hashbench").rglob("*.toml")), ids=lambda p: p.stem
)
def test_the_suites_that_come_with_hashbench_are_read(file: Path) -> None:
    content, found = read_toml(file), read_suite_tables(file)
    assert len(found.runs) == len(content["run"])
    for run, table in zip(found.runs, content["run"], strict=True):
        assert run.keys() == table.keys()
        for key, value in table.items():
            assert run[key] in (value, [value], str(value))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('run = "x"', "run is 'x'"),
        ("run = 5", "run is 5"),
        ("run = [1]", "run 1 is 1"),
        ('run = ["a"]', "run 1 is 'a'"),
        ("run = [[]]", "run 1 is a list of 0"),
        ("run = {a = 1}", "run is a table of 1 keys"),
        ("[run]\nbits = 32", "run is a table"),
        ("run = []", "no [[run]]"),
        ("", "no [[run]]"),
        ("[[runs]]\nbits = 32", "did you mean 'run'"),
        ("title = 5\n[[run]]", "title is 5"),
        ("title = [1]\n[[run]]", "title is a list"),
        ("[[run]]\n[[run]]\nbits = 0", "run 2: bits is 0; give a number from 1 to 1024"),
        ("[[run]]\nbits = -5", "run 1: bits is -5"),
        ("[[run]]\nbits = true", "run 1: bits is true"),
        ("[[run]]\nbits = 100000000000000000000", "run 1: bits is 100000000000000000000"),
        (f"[[run]]\nbits = 0x{'f' * 190}", "a whole number of 760 bits"),
        ("[[run]]\nbits = 32.0", "run 1: bits is 32.0"),
        ("[[run]]\nbits = nan", "run 1: bits is nan"),
        ('[[run]]\nbits = "32"', "run 1: bits is '32'"),
        ("[[run]]\nbits = []", "run 1: bits is a list of 0"),
        ("[[run]]\nbits = [16, true]", "run 1: bits[1] is true"),
        ("[[run]]\nbits = [16, [32]]", "run 1: bits[1] is a list of 1"),
        ("[[run]]\nbits = {a = 1}", "run 1: bits is a table of 1 keys"),
        ("[[run]]\nbits = 1979-05-27", "run 1: bits is a date"),
        ("[[run]]\nseed = -1", "run 1: seed is -1"),
        ("[[run]]\nseed = 4294967296", "run 1: seed is 4294967296"),
        ("[[run]]\nseed = []", "run 1: seed is a list of 0"),
        ("[[run]]\nseed = false", "run 1: seed is false"),
        ('[[run]]\neps = "510/255"', "run 1: eps is '510/255'"),
        ("[[run]]\neps = 1.5", "run 1: eps is 1.5"),
        ("[[run]]\neps = -0.1", "run 1: eps is -0.1"),
        ("[[run]]\neps = inf", "run 1: eps is inf"),
        ("[[run]]\neps = true", "run 1: eps is true"),
        ('[[run]]\neps = ["8/255"]', "run 1: eps takes one value"),
        ('[[run]]\ntraining = ["a"]', "run 1: training takes one value"),
        ('[[run]]\ntuned = ""', "run 1: tuned is ''"),
        ('[[run]]\naccess = "rankings"', "run 1: access is 'rankings'; give one of white, decision, transfer, ranking"),
        ('[[run]]\naccess = ["ranking"]', "run 1: access takes one value"),
        ("[[run]]\naccess = true", "run 1: access is true"),
        ('[[run]]\nnorm = "l1"', "run 1: norm is 'l1'; give one of linf, l2"),
        ('[[run]]\nnorm = ["l2"]', "run 1: norm takes one value"),
        ("[[run]]\npatch = 0", "run 1: patch is 0; give a number from 1 to 9999"),
        ('[[run]]\npatch = "4"', "run 1: patch is '4'"),
        ("[[run]]\npatch = [4]", "run 1: patch takes one value"),
        ('[[run]]\n[[run]]\nnorm = "l2"\npatch = 4', "run 2: norm l2 and patch 4 exclude each other"),
        ('[[run]]\nnorm = "l2"\neps = "10001"', "run 1: eps is '10001'; give a number from 0 to 10000"),
        ('[[run]]\ndataset = ""', "run 1: dataset is ''"),
        ('[[run]]\ndataset = "a\\nforged: valid"', "a\\x0aforged"),
        ('[[run]]\nattack = "a\\u202eb"', "a\\u202eb"),
        ('[[run]]\nattack = ["a", 5]', "run 1: attack[1] is 5"),
        (f'[[run]]\nattack = "{"x" * 2000}"', "from 1 to 1000 characters"),
        ("[[run]]\nbitz = 32", "run 1: there is no key bitz; did you mean 'bits'"),
        ('[[run]]\n"\\u001b[2J" = 32', "\\x1b"),
        ("[[run]]\nrun.bits = 5", "run 1: there is no key run"),
        ("[[run]]\n" * 1001, "run is a list of 1001"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(path: Path, text: str, word: str) -> None:
    assert word in refusal(path, text)


@pytest.mark.parametrize(
    "eps", ["", "x", "8/0", "8/255/1", "nan", "inf", "-1/255", "1_0/255", "1e999", "0/0", "9" * 5000, "0x1", "/", "8/"]
)
def test_budgets_that_are_none_are_refused(eps: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_eps(eps)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("eps", "value"),
    [
        ("8/255", 8 / 255),
        (0, 0),
        (1, 1),
        (0.03, 0.03),
        ("0.03", 0.03),
        ("1e-3", 1e-3),
        (" 8 / 255 ", 8 / 255),
        (".5", 0.5),
    ],
)
def test_budgets_are_numbers_and_fractions(eps: str | float, value: float) -> None:
    assert read_eps(eps) == value


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000, "a = " + "[" * 5000 + "]" * 5000, "a = " + "{a = " * 5000, "a = " + "[{a = " * 5000,
        "a" + ".a" * 5000 + " = 1", "[" + "a." * 100_000 + "a]", "[[" + '"a".' * 30_000 + "a]]",
        "a = 1_" + "0_" * 100_000 + "0",
        "a = " + "9" * 100_000, "'''" + "''x" * 50_000, 'a = """' + '""x' * 50_000, '"\\' * 100_000, '"' * 200_000,
        'a = {b = """a"""", ' + "a." * 10_000 + "a = 1}", "a = {b = '''a'''', " + "a." * 10_000 + "a = 1}",
        "\n".join(f"[a{number}]" for number in range(20_000)), "a = [" + "1.0," * 50_000 + "]", "[a]\n" * 50_000,
        "\n".join(f"a.b.c.d{number} = 1" for number in range(12_000)), "a = [\n" + "#x\n" * 80_000 + "1]",
        "#" * 300_000,
        " " * 250_000 + "1", "a = 2020-99-99", "\0", b"\xff", b"\xef\xbb\xbf[[run]]", "\r", "a = '\x01'",
        "a = 1\na = 2",
        '"""', "a = 07:99:00", "a = \"\\ud800\"", 'a = "\\UFFFFFFFF"', "=", "[", "[]", "a = 1e999999999999",
        "a\u202e = 1",
    ],
)  # fmt: skip
def test_what_is_no_suite_is_refused_soon(path: Path, text: str | bytes) -> None:
    refusal(path, text)


def test_brackets_in_strings_and_comments_are_no_nesting(path: Path) -> None:
    deep = "[" * 100
    path.write_text(
        f'# {deep}\ntitle = "{deep}\\"{deep}"\npaper = \'{deep}\'\n[[run]] # {deep}\nbits = [ # {deep}\n 32 ]'
    )
    assert read_suite_tables(path).runs == ({"bits": [32]},)
    path.write_text(f'title = """{deep}""{deep}"""""\n[[run]]')
    assert read_suite_tables(path).title == f'{deep}""{deep}""'


def test_millions_of_combinations_are_refused_at_once(path: Path) -> None:
    many = str([f"a{number}" for number in range(300)])
    text = f"[[run]]\ndataset = {many}\nbackbone = {many}\nmethod = {many}\n"
    assert "stands for 27000000 matrices" in refusal(path, text)
    many = str([f"a{number}" for number in range(999)])
    seeds = str(list(range(999)))
    assert "1000000000 cells" in refusal(path, f"[[run]]\ndefense = {many}\nattack = {many}\nseed = {seeds[:-1]}, 7]\n")


def test_tables_are_counted_together(path: Path) -> None:
    table = f"[[run]]\nbits = {list(range(1, 501))}\n"
    path.write_text(table * 2)
    assert len(read_suite_tables(path).runs) == 2
    assert "1500 matrices" in refusal(path, table * 3)


def test_every_key_takes_no_value_of_another_kind(path: Path) -> None:
    values = ("{}", "[[]]", "1979-05-27T07:32:00Z", "07:32:00", "-0.0001", "true", "[{}]")
    keys = ("dataset", "backbone", "method", "bits", "defense", "attack", "seed", "training", "eps", "tuned")
    for key, value in itertools.product(keys, values):
        assert f"run 1: {key}" in refusal(path, f"[[run]]\n{key} = {value}")


def test_numbers_become_the_words_of_the_command_line(path: Path) -> None:
    found: list[Any] = []
    for eps in ("0.03", "1", '"8/255"'):
        path.write_text(f"[[run]]\neps = {eps}")
        found.append(read_suite_tables(path).runs[0]["eps"])
    assert found == ["0.03", "1", "8/255"]
