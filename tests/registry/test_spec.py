"""Names with parameters, as text and back."""

from __future__ import annotations

import pytest

from hashbench.errors import BadParameter
from hashbench.registry.entries import choose_clean
from hashbench.registry.spec import Spec
from hashbench.training.undefended import clean_training


@pytest.mark.parametrize("value", ["a,b.pth", "a=b.pth", ",", "a,b,c", r"C:\a.pth", "/x:y/ü, z.pth"])
def test_a_value_is_read_back_from_a_spec(value: str) -> None:
    spec = Spec("checkpoint", {"file": value, "normalise": "no"})
    assert Spec.parse(str(spec)) == spec


def test_a_part_without_a_value_is_named_with_the_form() -> None:
    for text, message in (
        ("cgat:steps", "can't read 'steps' in 'cgat:steps'; write cgat:parameter=value$"),
        ("cgat:", "can't read '' in 'cgat:'; write cgat:parameter=value$"),
        ("cgat:steps=1,", r"can't read '' in 'cgat:steps=1,'; write cgat:parameter=value, and .*, for a comma"),
        (":a=1", "':a=1' has no name"),
    ):
        with pytest.raises(BadParameter, match=message):
            Spec.parse(text)


def test_the_clean_training_is_given_by_its_parameters_or_as_in_tables() -> None:
    forms = ("epochs=2,batch_size=16", "clean:epochs=2,batch_size=16", " clean: epochs=2, batch_size=16")
    (label,) = {choose_clean(clean_training, text).label for text in forms}
    assert label in ("clean:epochs=2,batch_size=16", "clean:batch_size=16,epochs=2")
    assert {choose_clean(clean_training, text).label for text in ("", "clean", "clean:")} == {"clean"}
