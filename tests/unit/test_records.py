"""What became of many jobs is asked without an object for each."""

import uuid

import pytest

from simcelery.board.values import Recorded
from simcelery.submission.records import Records


@pytest.mark.parametrize(
    ("hows", "existing", "last"),
    [
        ("", [], None),
        ("ee", [1, 2], None),
        ("nre", [3], 2),
        ("rene", [2, 4], 3),
        ("ner", [2], 3),
    ],
)
def test_which_were_there_and_which_is_the_last_to_run(
    hows: str, existing: list[int], last: int | None
) -> None:
    words = {"n": "new", "e": "existing", "r": "retried"}
    records = Records(Recorded(at, uuid.uuid4(), words[how]) for at, how in enumerate(hows, 1))  # type: ignore[arg-type]
    assert records.ids_of("existing") == existing
    assert records.last_to_run == last
