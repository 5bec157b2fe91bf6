"""What Python values become on the board, and what comes back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections import UserDict, deque
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import BaseModel, ConfigDict, Field

from simcelery.errors import EncodingError, PayloadTooLargeError
from simcelery.workflows.encoding import JobRef, check_size, contains_job, decode, encode, job_refs
from tests.unit.names import stable


def through_jsonb(encoded: Any) -> Any:
    """What Postgres gives back: numbers are decimals, objects have no order, nothing that is not JSON."""

    def numeric(text: str) -> Any:
        digits = format(Decimal(text), "f")
        return json.loads(digits.removeprefix("-") if Decimal(text) == 0 else digits)

    def reordered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(sorted(pairs, key=lambda pair: (len(pair[0].encode()), pair[0].encode())))

    text = json.dumps(encoded, allow_nan=False)
    assert "\\u0000" not in text.replace("\\\\", "")
    return json.loads(text, parse_float=numeric, object_pairs_hook=reordered)


def back(value: Any) -> Any:
    return decode(through_jsonb(encode(value)))


def _signs(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    parts = np.stack([array.real, array.imag])
    return np.where(np.isnan(parts), False, np.signbit(parts))


def same(one: Any, other: Any) -> bool:
    """Equal, of the same type, NaN like NaN, -0.0 unlike 0.0; a tuple is like a list."""
    if isinstance(one, list | tuple):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and len(one) == len(other)
            and all(key in other and same(item, other[key]) for key, item in one.items())
        )
    if isinstance(one, np.ndarray):
        return bool(
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
            and (one.dtype.kind not in "fc" or np.array_equal(_signs(one), _signs(other)))
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, float):
        return one.hex() == other.hex()
    return bool(one == other)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
numbers = st.integers(-(10**400), 10**400) | st.floats() | st.complex_numbers()
scalars = st.none() | st.booleans() | numbers | text | st.binary()
dollars = st.sampled_from(
    ["$job", "$float", "$dict", "$ndarray", "$bytes", "$complex", "$", "$$job", "dtype"]
)
simple_keys = st.none() | st.integers() | st.floats(allow_nan=False) | text | dollars | st.binary()
keys = simple_keys | st.tuples(simple_keys, simple_keys)
dtypes = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="<")
    | hnp.unsigned_integer_dtypes(endianness=">")
    | hnp.floating_dtypes(sizes=(16, 32, 64))
    | hnp.complex_number_dtypes(sizes=(64, 128))
    | hnp.byte_string_dtypes()
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, min_side=0, max_side=3)) | hnp.arrays(
    "U4", hnp.array_shapes(min_dims=0, min_side=0, max_side=3), elements=text.map(lambda t: t[:4])
)
values = st.recursive(
    scalars | arrays,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(text | dollars, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
@settings(max_examples=300, deadline=None)
def test_whatever_the_board_takes_comes_back_as_it_was(value: Any) -> None:
    assert same(value, back(value))


@given(values)
@settings(max_examples=100, deadline=None)
def test_an_encoded_value_can_be_a_value_itself(value: Any) -> None:
    encoded = encode(value)
    assert same(encoded, back(encoded))


@pytest.mark.parametrize(
    "number", [math.nan, math.inf, -math.inf, -0.0, 0.0, 1.0, 1e15, 1e16, 1e22, 1e308, 5e-324, 0.1, -2.5e-310]
)
def test_floats_stay_floats_to_the_last_bit(number: float) -> None:
    assert same(number, back(number))


def test_large_integers_keep_every_digit() -> None:
    number = 3**8000
    assert back(number) == number


def test_an_integer_too_long_for_python_to_read_back_is_refused() -> None:
    with pytest.raises(EncodingError, match=r"^n\[0\]: an integer of more than 4000 digits .* as bytes$"):
        encode([10**4300], "n")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3)),
        np.zeros((3, 0), dtype="int8"),
        np.array(2.5),
        np.arange(24).reshape(4, 6)[::2, ::-3],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1.5, np.nan, -np.inf, -0.0], dtype=">f4"),
        np.array([2**64 - 1], dtype="uint64"),
        np.array([1 + 2j, complex(math.nan, -0.0)]),
        np.array(["Å", ""]),
        np.array([b"ab", b""]),
        np.broadcast_to(np.float32(1.0), (2, 2)),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_keep_dtype_shape_and_values(array: np.ndarray[Any, Any]) -> None:
    assert same(array, back(array))


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [
        (np.float64(1.5), 1.5),
        (np.float32(0.5), 0.5),
        (np.float64(-0.0), -0.0),
        (np.int8(-3), -3),
        (np.uint64(2**63), 2**63),
        (np.bool_(True), True),
        (np.complex64(1j), 1j),
        (np.str_("Å"), "Å"),
        (np.bytes_(b"x"), b"x"),
    ],
)
def test_numpy_scalars_become_python_numbers(scalar: Any, plain: Any) -> None:
    assert same(plain, back(scalar))


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array(["2024-01-01"], dtype="datetime64[s]"),
        np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
        np.array([1.0], dtype=np.longdouble),
        np.longdouble(1.0),
        np.datetime64("2024-01-01"),
    ],
    ids=["object", "datetime64", "structured", "longdouble", "longdouble scalar", "datetime64 scalar"],
)
def test_a_dtype_that_json_cannot_hold_says_to_convert_it(array: Any) -> None:
    with pytest.raises(EncodingError, match=r"^forces\.x: numpy's dtype .* cannot be stored; convert it"):
        encode({"x": array}, "forces")


def test_a_masked_array_is_refused_rather_than_stored_without_its_mask() -> None:
    with pytest.raises(EncodingError, match=r"^x: a masked array cannot be stored"):
        encode(np.ma.masked_array([1.0, 2.0], mask=[True, False]), "x")


class Color(enum.Enum):
    RED = "red"


class Named(str, enum.Enum):  # noqa: UP042 (its str() is not its value)
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(frozen=True)
class Inner:
    positions: np.ndarray[Any, Any]
    at: dt.date


@dataclasses.dataclass
class Outer:
    inner: Inner
    color: Color
    derived: float = dataclasses.field(init=False, default=2.0)


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    cutoff: float = Field(alias="cut-off")
    inner: Inner
    grid: np.ndarray[Any, Any]

    def as_dict(self) -> dict[str, Any]:
        raise AssertionError("the fields are stored, since they are what is validated")


class Crystal:
    def __init__(self, a: float) -> None:
        self.a = a

    def todict(self) -> dict[str, Any]:
        return {"a": np.float32(self.a)}


class Sites(Sequence[int]):
    """Like pymatgen's Structure: a sequence that says itself what it consists of."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return [1, 2][index]

    def as_dict(self) -> dict[str, Any]:
        return {"sites": list(self)}


INNER = Inner(np.arange(3.0), dt.date(2024, 2, 29))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Color.RED, "red"),
        (Named.RED, "red"),
        (Level.LOW, 1),
        ({Named.RED: 1}, {"red": 1}),
        (dt.datetime(2024, 1, 2, 3, 4, tzinfo=dt.UTC), "2024-01-02T03:04:00+00:00"),
        (dt.date(2024, 1, 2), "2024-01-02"),
        (dt.time(3, 4), "03:04:00"),
        (dt.timedelta(minutes=1, microseconds=1), 60.000001),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.20"), "1.20"),
        (Path("a/b.cif"), "a/b.cif"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset("ba"), ["a", "b"]),
        (deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        (UserDict(a=1), {"a": 1}),
        (bytearray(b"a"), {"$bytes": "YQ=="}),
        (Crystal(0.5), {"a": 0.5}),
        (Sites(), {"sites": [1, 2]}),
    ],
    ids=stable,
)
def test_rich_types_become_plain_ones(value: Any, stored: Any) -> None:
    encoded = encode(value)
    assert encoded == stored
    assert type(encoded) is type(stored)


def test_nested_dataclasses_become_dictionaries_with_their_arrays() -> None:
    found = back(Outer(INNER, Color.RED))
    assert same(
        {
            "inner": {"positions": np.arange(3.0), "at": "2024-02-29"},
            "color": "red",
            "derived": 2.0,
        },
        found,
    )


def test_pydantic_models_are_stored_by_the_names_of_their_fields() -> None:
    found = back(Model(**{"cut-off": 3.0}, inner=INNER, grid=np.eye(2)))
    assert same(
        {"cutoff": 3.0, "inner": {"positions": np.arange(3.0), "at": "2024-02-29"}, "grid": np.eye(2)}, found
    )


def test_a_dictionary_of_the_user_cannot_stand_for_a_job() -> None:
    forged = {"$job": 7}
    assert job_refs(encode(forged)) == set()
    assert decode(encode(forged), job=lambda number: pytest.fail("looked up")) == forged
    nested = [{"a": {"$job": 7, "$dict": [[1, {"$job": 8}]]}}]
    assert job_refs(encode(nested)) == set()
    assert decode(encode(nested), job=lambda number: pytest.fail("looked up")) == nested


class Handle(JobRef):
    def __init__(self, number: int) -> None:
        self.id = number


def test_jobs_are_found_wherever_they_stand_and_filled_in() -> None:
    value = {"a": Handle(1), "b": [Handle(2), {3: (Handle(3),)}], "c": {Handle(4)}}
    encoded = through_jsonb(encode(value))
    assert job_refs(encoded) == {1, 2, 3, 4}
    filled = decode(encoded, job=lambda number: number * 10)
    assert filled == {"a": 10, "b": [20, {3: [30]}], "c": [40]}
    assert decode(encoded["a"]) == {"$job": 1}


@pytest.mark.parametrize("holder", [list, tuple, frozenset, deque, lambda jobs: {"k": jobs}], ids=stable)
def test_a_job_is_noticed_in_every_kind_of_container(holder: Any) -> None:
    assert contains_job(holder([Handle(1)]))
    assert not contains_job(holder([1]))


def test_equal_dictionaries_are_stored_alike_whatever_their_order() -> None:
    one, other = {1: "a", 2.5: "b", 10: "c", "x": 0}, {"x": 0, 10: "c", 2.5: "b", 1: "a"}
    assert json.dumps(encode(one)) == json.dumps(encode(other))
    assert list(decode(encode(one))) == [1, 2.5, 10, "x"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", r"x: text with a NUL character cannot be stored; remove it or pass bytes"),
        ({"k": ["a\0"]}, r"x\.k\[0\]: text with a NUL"),
        ({"a\0": 1}, r"x\['a\\x00'\]: text with a NUL"),
        ({1: 2, "a\0": 1}, r"x \(key 'a\\x00'\): text with a NUL"),
        (np.array(["a\0b"]), r"x\[0\]: text with a NUL"),
        (Path("a\0b"), r"x: text with a NUL"),
        ("\ud800", r"x: text is not valid Unicode \(a lone surrogate\); pass bytes"),
        ({"\udcff": 1}, r"x\['\\udcff'\]: text is not valid Unicode"),
        ({"a b\nc": lambda: 0}, r"x\['a b\\nc'\]: a function cannot be stored"),
        ({"f": {2: len}}, r"x\.f\[2\]: a function cannot be stored on the board; pass numbers"),
        ([int], r"x\[0\]: a class cannot be stored"),
        ((i for i in ()), r"x: a builtins\.generator cannot be stored"),
        (object(), r"x: a builtins\.object cannot be stored"),
        ({INNER.at: 1, (1, Handle(1)): 2}, r"x \(key .*\): a tuple cannot be stored as a key"),
        ({Path("a"): 1, "a": 2}, r"x: two different keys are both stored as 'a'; rename one"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_path_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(EncodingError, match=f"^{message}") as caught:
        encode(value, "x")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_an_object_whose_as_dict_fails_is_named() -> None:
    class Broken:
        def as_dict(self) -> dict[str, Any]:
            raise RuntimeError("no cell\nyet")

    with pytest.raises(
        EncodingError, match=r"^x\[0\]: .*Broken\.as_dict\(\) failed: RuntimeError: no cell yet$"
    ):
        encode([Broken()], "x")


def containing_itself(kind: str) -> Any:
    if kind == "list":
        loop: list[Any] = []
        loop += [loop, loop]  # twice: a search that only gave up at the depth would never end
        return loop
    if kind == "dict":
        circle: dict[str, Any] = {}
        circle["me"] = circle
        return circle
    if kind == "object":

        class Mirror:
            def as_dict(self) -> dict[str, Any]:
                return {"me": self}

        return Mirror()
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize("kind", ["list", "dict", "object", "deep"])
def test_what_contains_itself_or_is_too_deep_is_one_clear_error(kind: str) -> None:
    value = containing_itself(kind)
    with pytest.raises(
        EncodingError, match=r"^cell.{0,60}: nested more than 100 deep, or contains itself"
    ) as e:
        encode(value, "cell")
    assert len(str(e.value)) < 200
    if kind in ("list", "dict", "deep"):
        with pytest.raises(EncodingError, match="contains itself"):
            contains_job(value)


def test_ninety_levels_are_no_problem() -> None:
    value: Any = 1.0
    for _ in range(90):
        value = [value]
    assert same(value, back(value))


def test_the_largest_parameter_is_named_when_a_payload_is_too_large() -> None:
    encoded = {"small": 1, "trajectory": "x" * 3_000_000, "other": "y" * 1_000_000}
    with pytest.raises(
        PayloadTooLargeError, match=r"^w: parameter\.trajectory is 2\.9 MiB and .* 2\.0 MiB: write"
    ):
        check_size(encoded, "w: parameter", 2 * 2**20)
    check_size({"a": "x" * 100}, "w: parameter", 2000)


def test_many_middling_parameters_are_counted_together() -> None:
    encoded = {"a": "x" * 600, "b": "y" * 700}
    with pytest.raises(
        PayloadTooLargeError, match=r"^p\.b is the largest part \(702 bytes\) of 1\.3 KiB and .*1000 "
    ):
        check_size(encoded, "p", 1000)


def test_a_result_that_is_one_large_array_is_named_as_a_whole() -> None:
    with pytest.raises(
        PayloadTooLargeError, match=r"^w: result is 48\.\d KiB and max_payload is 1\.0 KiB: write"
    ):
        check_size(encode(np.zeros(10_000)), "w: result", 1024)
