"""JSON from anyone: what is read, and what is refused in one line."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valid_files import MEASURED, Measured, forms

from hashbench.errors import BadInput
from hashbench.readers.json_files import read_json, read_record
from hashbench.readers.records import Limits, check, record


def refusal(text: str | bytes, **options: Any) -> str:
    start = time.process_time()
    with pytest.raises(BadInput) as caught:
        read_json(text, name="run.json", **options)
    assert time.process_time() - start < 5
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400
    assert "run.json" in message
    return message


finite = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
values = st.recursive(finite | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)


@given(values)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("mark", ["[", '{"a":', '[{"a":['])
@pytest.mark.parametrize("times", [33, 5000, 100_000])
def test_deep_nesting_is_refused_before_it_is_parsed(mark: str, times: int) -> None:
    assert "deeper than 32" in refusal(mark * times)


def test_deep_nesting_is_refused_when_little_stack_is_left() -> None:
    def down(levels: int) -> str:
        return refusal("[" * 5000) if levels == 0 else down(levels - 1)

    assert "deeper" in down(sys.getrecursionlimit() - len_of_stack() - 120)


def len_of_stack() -> int:
    frame, depth = sys._getframe(), 0
    while frame.f_back:
        frame, depth = frame.f_back, depth + 1
    return depth


def test_brackets_in_strings_are_no_nesting() -> None:
    assert read_json('["' + "[" * 1000 + '\\"[[[{{{"]') == ["[" * 1000 + '"[[[{{{']
    assert read_json("[" * 32 + "]" * 32)
    assert len(read_json("[" + ",".join(["[]"] * 1000) + "]")) == 1000


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400 + ".0"])
def test_no_number_is_infinite_or_nan(word: str) -> None:
    refusal(f'{{"map": {word}}}')


@pytest.mark.parametrize("word", [str(2**64), str(-(2**63) - 1), "9" * 4000, "9" * 5000, "-" + "9" * 100_000])
def test_whole_numbers_have_64_bits(word: str) -> None:
    assert "64 bits" in refusal(f'{{"seed": {word}}}')


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"b": {"a": 1, "x": 2, "a": 1}}', '{"a": 1, "\\u0061": 2}'])
def test_a_key_stands_once(text: str) -> None:
    assert "'a' twice" in refusal(text)


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\udfff": 1}', '["\\ud83d x"]', '"\\uD800"'])
def test_half_characters_are_refused(text: str) -> None:
    assert "half a character" in refusal(text)


def test_whole_pairs_are_read() -> None:
    assert read_json('"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    "content",
    [
        b"", b" ", b"{", b"]", b'"', b'{"a"}', b"[1,]", b"nul", b"{'a': 1}", b"\xff\xfe[\0]\0", b"[1]\0",
        b"\xef\xbb\xbf[]",
        b"\x80", b'"\x01"', b"[1] [2]", b"01", b"+1", b".5", b"\xed\xa0\x80", b'"\xc0\xaf"', b"1_000", b"[\x0b]",
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(content: bytes) -> None:
    refusal(content)


@pytest.mark.parametrize("text", ['"' * 500_000, '"\\"' * 300_000, "\\" * 900_000, '"\\' * 500_000, "[]" * 500_000])
def test_time_grows_with_the_length(text: str) -> None:
    refusal(text)


def test_sizes_are_limited(tmp_path: Path) -> None:
    assert "larger than" in refusal(b"[" + b" " * 2000 + b"]", limit=1000)
    path = tmp_path / "run.json"
    path.write_bytes(b" " * (1 << 20) + b"1")
    with pytest.raises(BadInput, match="larger than 1 MB"):
        read_json(path)


def test_keys_with_escapes_are_shown_escaped() -> None:
    assert "\\x0a" in refusal('{"a\\nvalid: yes": 1, "a\\nvalid: yes": 2}')


def test_a_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    path.write_bytes(forms()["json"].content)
    assert read_record(path, Measured, inside=tmp_path) == MEASURED


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"key": 5}, "key is 5"),
        ({"key": None}, "key is nothing"),
        ({"identity": []}, "identity is a list"),
        ({"numbers": {"map": True}}, "numbers.map is true"),
        ({"numbers": {"map": [1]}}, "numbers.map is a list of 1"),
        ({"seeds": [0, 1.5]}, "seeds[1] is 1.5"),
        ({"seeds": [0, False]}, "seeds[1] is false"),
        ({"seeds": 0}, "seeds is 0"),
        ({"statuss": "valid"}, "did you mean 'status'"),
        ({"x\n" * 5000: 1}, "there is no key x\\x0a"),
    ],
)
def test_a_wrong_field_is_named_with_its_path(change: dict[str, Any], place: str) -> None:
    with pytest.raises(BadInput) as caught:
        record(json.loads(json.dumps(asdict(MEASURED) | change)), Measured, "cell.json")
    assert place in str(caught.value)
    assert str(caught.value).startswith("cell.json")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("content", [None, 1, "a", [], True, {"key": "a"}, {}])
def test_what_is_no_record_is_refused(content: object) -> None:
    with pytest.raises(BadInput, match=r"cell\.json"):
        record(content, Measured, "cell.json")


@dataclass(frozen=True)
class Inner:
    eps: Annotated[float, Limits(0, 1)]
    goal: Literal["untargeted", "targeted"] = "untargeted"


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    name: Annotated[str, Limits(1, 5)] | None = None


def test_nested_records_ranges_and_choices() -> None:
    assert record({"inner": [{"eps": 1}]}, Outer, "f") == Outer((Inner(1),))
    for content, place in (
        ({"inner": [{"eps": 1}, {"eps": 1.5}]}, "inner[1].eps is 1.5; give a number from 0 to 1"),
        ({"inner": [{"eps": float("nan")}]}, "inner[0].eps is nan"),
        ({"inner": [{"eps": 10**400}]}, "a whole number of 1329 bits"),
        ({"inner": [{"eps": 0, "goal": "x"}]}, "inner[0].goal is 'x'; give one of untargeted, targeted"),
        ({"inner": [{}]}, "lacks inner[0].eps"),
        ({"inner": [], "name": "123456"}, "name is '123456'; give from 1 to 5 characters"),
        ({"inner": {}}, "inner is a table of 0 keys; give a list"),
    ):
        with pytest.raises(BadInput) as caught:
            record(content, Outer, "f")
        assert place in str(caught.value)
    assert check(None, int | None, "f", "a") is None
