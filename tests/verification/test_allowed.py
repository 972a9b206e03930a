"""What a row may ask of the machine that attacks it again."""

from __future__ import annotations

from typing import Any

import pytest
from invented_submissions import IDENTITY

from hashbench.errors import UsageError
from hashbench.verification.allowed import MODEST, Allowed, check_allowed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dataset": "lists:root=/etc"}, "its dataset names the file '/etc' by root"),
        ({"dataset": "flickr25k:root=../../elsewhere"}, "its dataset names the file"),
        ({"dataset": "cifar10:root=/home"}, "its dataset names the file '/home' by root"),
        ({"defense": "checkpoint:file=/etc/passwd"}, "its defense names the file"),
        ({"attack": "hag:steps=1000000"}, "its attack asks for"),
        ({"attack": "pgd-hamming:steps=1000,restarts=1000"}, "its attack asks for"),
        ({"attack": "transfer:attack=hag,epochs=100000"}, "its attack"),
        ({"defense": "cgat:epochs=100000"}, "its defense asks for"),
        ({"defense": "cgat:epochs=100,steps=100,batch_size=6400"}, "its defense asks for"),
        ({"dataset": "lists:size=1000000"}, "its dataset asks for"),
        ({"training": "clean:epochs=1000000"}, "its training asks for"),
        ({"attack": "hag:steps=99999999999999999999"}, "its attack asks for"),
        ({"attack": "hag:nonesuch=1"}, "has no parameter 'nonesuch'"),
        ({"attack": "nonesuch"}, "no attack is named 'nonesuch'"),
        ({"defense": ":x"}, "has no name"),
        ({"dataset": "nonesuch"}, "no data set is named"),
        ({"training": "clean:epochs=many"}, "can't read epochs=many"),
    ],
)
def test_files_and_work_beyond_the_limits_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_allowed({**IDENTITY, **changed}, MODEST)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_what_is_usual_or_allowed_is_let_through() -> None:
    check_allowed(IDENTITY, MODEST)
    check_allowed({**IDENTITY, "attack": "hag:steps=150", "training": "clean:epochs=40"}, MODEST)
    check_allowed({**IDENTITY, "dataset": "lists:root=/etc"}, Allowed(files=True))
    check_allowed({**IDENTITY, "attack": "hag:steps=20000"}, Allowed(work=1000))
