"""As `test_redis_errors`, with answers that this Redis cannot be made to give: a proxy gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.fleets import Fleet, is_waited_out

BY_PROXY = {
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "BUSY": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN": "CLUSTERDOWN Hash slot not served",
    "NOAUTH": "NOAUTH Authentication required.",
    "TRYAGAIN": "TRYAGAIN Multiple keys request during rehashing of slot",
    "nobody has heard of": "ERR something that nobody has heard of",
}


@pytest.mark.parametrize("answer", BY_PROXY)
def test_an_answer_that_this_redis_cannot_be_made_to_give_is_waited_out(
    fleet: Fleet, tmp_path: Path, answer: str
) -> None:
    # A worker that hears of it in the middle of its heartbeat waits without a line.
    said = "it is a node of a cluster" if answer == "CLUSTERDOWN" else answer
    is_waited_out(fleet, tmp_path, None, said, lambda: fleet.proxy.answering(BY_PROXY[answer]))
