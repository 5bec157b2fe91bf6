"""Numbered chunks: whoever cuts an output, and however often, the parts make the whole."""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simcelery import chunks
from simcelery.chunks import SIZE, joined, kept, numbered, read, whole

ROOMY = 100 * SIZE

# A machine that has much else to do is no failure.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def output(data: bytes, most: int = ROOMY, after: int = 0, ended: bool = True) -> dict[int, str]:
    """The chunks of a file with this content."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        found, size = read(file.fileno(), most, after, ended=ended)
    assert size == len(data)
    return dict(found.chunks)


def as_text(data: bytes) -> str:
    return data.decode(errors="backslashreplace").replace("\0", "\\0")


@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE])
def test_the_number_of_a_chunk_says_which_bytes_it_holds(size: int) -> None:
    data = bytes(b"abcdefghij"[n % 10] for n in range(size))
    found = output(data)
    assert list(found) == list(range(1, -(-size // SIZE) + 1))
    for number, text in found.items():
        assert text.encode() == data[(number - 1) * SIZE : number * SIZE]
    assert output(data, after=1) == {number: text for number, text in found.items() if number > 1}


@pytest.mark.parametrize("letter", ["é", "中", "🙂"])
@pytest.mark.parametrize("before", [1, 2, 3, 4])
def test_a_character_at_the_edge_belongs_whole_to_the_next_chunk(letter: str, before: int) -> None:
    text = "a" * (SIZE - before) + letter * 3
    found = output(text.encode())
    assert "".join(found.values()) == text
    assert all(one.encode().decode() == one for one in found.values())


text_and_noise = st.lists(
    st.one_of(
        st.sampled_from(["é", "中", "🙂", "a", "\n", "\0"]).map(str.encode),
        st.binary(max_size=5),
        st.integers(SIZE - 6, SIZE + 6).map(lambda count: b"x" * count),
    ),
    max_size=12,
).map(b"".join)


@_UNHURRIED
@given(text_and_noise, st.integers(0, 3 * SIZE))
def test_what_was_read_while_it_was_written_is_a_beginning_of_what_is_read_later(
    data: bytes, at: int
) -> None:
    at = min(at, len(data))
    early, late = output(data[:at], ended=False), output(data)
    assert "".join(late.values()) == as_text(data)
    for number, text in early.items():
        assert late.get(number, "").startswith(text)
        if number <= whole(at):
            assert late[number] == text


@_UNHURRIED
@given(st.integers(0, 40 * SIZE), st.integers(2 * SIZE, 20 * SIZE))
def test_of_a_long_output_the_first_and_the_last_chunks_are_kept(size: int, most: int) -> None:
    keep = kept(size, most)
    numbers = [number for number in range(1, keep.total + 1) if number in keep]
    assert len(numbers) * SIZE <= most
    assert keep.all == (keep.total <= most // SIZE)
    if keep.all:
        assert numbers == list(range(1, keep.total + 1))
    else:
        assert len(numbers) == most // SIZE
        assert (numbers[0], numbers[-1]) == (1, keep.total)
        assert sum(later > earlier + 1 for earlier, later in pairwise(numbers)) == 1


def test_where_chunks_are_missing_the_number_of_bytes_is_said() -> None:
    data = b"".join(b"%4095d\n" % n for n in range(1, 101))
    found = output(data, most=10 * SIZE)
    assert list(found) == [1, 2, *range(93, 101)]
    text = "".join(joined(found.items()))
    said = f"\n… {90 * SIZE:,} bytes left out …\n"
    assert text.partition(said)[0] == data[: 2 * SIZE].decode()
    assert text.partition(said)[2] == data[-8 * SIZE :].decode()
    assert "".join(joined([(5, "on"), (6, "e")], before=4)) == "one"
    assert "".join(joined([(6, "e")], before=4)) == f"\n… {SIZE:,} bytes left out …\ne"


def test_what_is_no_longer_kept_when_it_has_been_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file grew meanwhile, and its middle may have been given back to the disk."""
    with tempfile.TemporaryFile() as file:
        file.write(b"a" * 20 * SIZE)
        file.flush()
        pread = os.pread

        def grows(*arguments: int) -> bytes:
            if os.fstat(file.fileno()).st_size == 20 * SIZE:
                os.truncate(file.fileno(), 25 * SIZE)
            return pread(*arguments)

        monkeypatch.setattr(os, "pread", grows)
        found, size = read(file.fileno(), 10 * SIZE, ended=False)
    assert size == 20 * SIZE
    assert list(found.chunks) == [1, 2, 18, 19, 20]
    assert found.kept == kept(25 * SIZE, 10 * SIZE)


def test_a_text_alone_is_the_only_chunk() -> None:
    assert numbered("text") == {1: "text"}
    assert numbered("") == {}
    assert numbered({3: "text"}) == {3: "text"}
    assert chunks.incomplete("½".encode()[:1]) == 1
