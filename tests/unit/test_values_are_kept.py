"""A value arrives as it was, of the same type in all its parts, or it is refused in one line beforehand."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import math
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from pydantic import AfterValidator, BaseModel

from simcelery.errors import EncodingError, ParametersError, UsageError
from tests.unit.names import stable
from tests.unit.test_encoding import through_jsonb
from tests.unit.test_parameters import parameters

BERLIN = ZoneInfo("Europe/Berlin")
TWICE = dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)  # at this time it is half past two twice


class Text(str): ...


class Whole(int): ...


class Table(dict[str, Any]): ...


class Row(list[Any]): ...


class Axis(enum.Enum):
    X = "x"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    A = "a"


class Pair(NamedTuple):
    a: int
    b: float


@dataclasses.dataclass
class Loose:
    value: Any


@dataclasses.dataclass
class Other:
    value: Any


class Model(BaseModel):
    value: Any


class OwnZone(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)

    def dst(self, when: dt.datetime | None) -> None:
        return None


PLAIN = [
    None, True, False, 0, 1, -1, 2**53, 2**53 + 1, -(2**64), 10**300, 0.0, -0.0, 1.0, 1e15, 1e16, 1e22,
    1e308, 5e-324, 0.1, math.nan, math.inf, -math.inf, 1j, complex(-0.0, math.nan), "", "a", "ä€", "1e400",
    "nan", "2024-01-01", "true", b"", b"\0\xff", [], {}, [1, [2.0, [None]]], {"a": {"b": [1]}},
    {1: "a", "1": "b"}, {None: 1, True: 2, 1.5: 3}, {"$float": "nan"}, {"$tuple": [1]}, {"$path": "/"},
    {"$date": "2024-01-01", "a": 1},
]  # fmt: skip

RICH = [
    (1, 2), (), ((1,), [2]), {1, 2}, set(), {1.0, "a", None}, frozenset({(1, 2)}), bytearray(b"a\0"),
    range(1, 10, 3), range(0), deque([1, 2]), deque([1], maxlen=3), OrderedDict([("b", 1), ("a", 2)]),
    OrderedDict([(2, 1), ("a", 2)]), Counter("abca"), Counter(), defaultdict(list, {"a": [1]}),
    defaultdict(int, {(1, 2): 3}), defaultdict(None, {1: 2}), Decimal("1.20"), Decimal("NaN"),
    Decimal("-0"), Decimal("Infinity"), Decimal("1e400"), uuid.UUID(int=7), dt.date(2024, 2, 29),
    dt.datetime(2024, 1, 2, 3, 4, 5, 678901), dt.datetime(2024, 1, 2, tzinfo=dt.UTC), TWICE,
    TWICE.replace(fold=1), dt.datetime(2024, 10, 27, 2, 30, fold=1), dt.datetime.max, dt.datetime.min,
    dt.datetime(2024, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45))), dt.time(2, 30, fold=1),
    dt.time(2, 30, tzinfo=dt.UTC), dt.time(1, tzinfo=BERLIN), dt.timedelta(days=200_000, microseconds=1),
    dt.timedelta(microseconds=-1), dt.timedelta.max, dt.timedelta.min, Path("a/b"), Path("/tmp"),
    {"deep": [({1}, {"x": deque([(1, Decimal("NaN"))])})]}, {dt.date(2024, 1, 1): 1},
    {frozenset({1}): {(1, (2,)): 3}}, {(1, 2): [(3, 4)]}, [(1, 2)] * 3,
]  # fmt: skip

ARRAYS = [
    np.zeros((0, 3)), np.array(2.5), np.arange(6).reshape(2, 3)[:, ::-1],
    np.array([np.nan, -0.0, np.inf], ">f4"), np.array([1.5], "f2"), np.array([2**63], "u8"),
    np.array([True]), np.array(["ä", ""]), np.array([b"a\0b"]), np.array([complex(np.nan, -0.0)], "c8"),
    np.asfortranarray(np.eye(3)), np.array([[]], "i1"),
]  # fmt: skip

# What has no form on the board but its class's own: refused where nothing declares the class.
OF_A_CLASS = [
    Axis.X, Level.LOW, Word.A, Text("a"), Whole(1), Table(a=1), Row([1]), Pair(1, 2.0), Loose(1),
    Model(value=1), PurePosixPath("a"), Fraction(1, 3), dt.datetime(2024, 1, 1, tzinfo=OwnZone()),
    dt.time(1, tzinfo=OwnZone()), defaultdict(lambda: 1, {"a": 1}), collections.UserDict(a=1),
    np.matrix([[1]]), np.array([object()]), np.ma.masked_array([1.0], [True]), np.array(["2024"], "M8[D]"),
    np.longdouble(1), np.array([(1,)], [("a", int)]), memoryview(b"a"), slice(1), object(), len, int,
    (i for i in ()), iter([1]), {1: 2}.keys(), Atoms("H"),
]  # fmt: skip


def there(annotation: Any, value: Any) -> Any:
    """What a worker gets of a parameter."""
    known = parameters(annotation)
    valid = known.validate(known.bind((), {"x": value}))
    return known.restore(through_jsonb(known.encode(valid, lambda ref: ref.id)))["x"]


def back(annotation: Any, value: Any) -> Any:
    """What a client gets of a result."""
    known = parameters(int, returns=annotation)
    return known.restore_result(through_jsonb(known.encode_result(value, 2**20)))


def shape(value: Any) -> Any:
    """A text that tells apart whatever is not the same."""
    kind = type(value).__qualname__
    match value:
        case np.ndarray():
            parts = [value.real, value.imag] if value.dtype.kind == "c" else [value]
            return (
                kind,
                value.dtype.str,
                value.shape,
                [[shape(i) for i in part.ravel().tolist()] for part in parts],
            )
        case OrderedDict():
            return kind, [(shape(key), shape(item)) for key, item in value.items()]
        case dict():
            pairs = sorted(((shape(key), shape(item)) for key, item in value.items()), key=repr)
            return kind, getattr(value, "default_factory", None), pairs
        case set() | frozenset():
            return kind, sorted((shape(item) for item in value), key=repr)
        case deque():
            return kind, value.maxlen, [shape(item) for item in value]
        case list() | tuple():
            return kind, [shape(item) for item in value]
        case dt.datetime() | dt.time():
            zone = getattr(value.tzinfo, "key", None) or value.utcoffset()
            return kind, value.replace(tzinfo=None, fold=0).isoformat(), zone, value.fold
        case Loose() | Other() | Model():
            return kind, shape(value.value)
    return kind, repr(value)


@pytest.mark.parametrize("journey", [there, back])
@pytest.mark.parametrize("nested", ["alone", "in a list", "in a dictionary", "in a dataclass", "in a model"])
@pytest.mark.parametrize("value", PLAIN + RICH + ARRAYS, ids=stable)
def test_a_value_of_no_declared_type_arrives_as_it_was(journey: Any, nested: str, value: Any) -> None:
    holder, annotation = {
        "alone": (value, Any),
        "in a list": ([value, 1], list),
        "in a dictionary": ({"a": value}, dict[str, Any]),
        "in a dataclass": (Loose(value), Loose),
        "in a model": (Model(value=value), Model),
    }[nested]
    assert shape(journey(annotation, holder)) == shape(holder)


@pytest.mark.parametrize("nested", ["alone", "in a list", "in a tuple", "in a dataclass"])
@pytest.mark.parametrize("value", OF_A_CLASS, ids=stable)
def test_what_would_arrive_as_something_else_is_refused_in_one_line(nested: str, value: Any) -> None:
    holder, annotation = {
        "alone": (value, Any),
        "in a list": ([value, 1], list),
        "in a tuple": ((1, value), Any),
        "in a dataclass": (Loose(value), Loose),
    }[nested]
    with pytest.raises(UsageError, match=r"^w: parameter '?x") as caught:
        there(annotation, holder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


DECLARED = [
    *((int | float, value) for value in (1, 1.0, 2**60, -0.0, 1e22, math.nan)),
    *((bool | int, value) for value in (True, 1, 0)),
    *((str | dt.date, value) for value in ("2024-01-01", dt.date(2024, 1, 1))),
    *((str | dt.datetime, value) for value in ("2024-01-01T00:00", dt.datetime(2024, 1, 1), TWICE)),
    *((str | Path, value) for value in ("/tmp", Path("/tmp"), Path("a"))),
    *((str | uuid.UUID, value) for value in (str(uuid.UUID(int=1)), uuid.UUID(int=1))),
    *((str | Decimal, value) for value in ("1.5", Decimal("1.5"))),
    *((float | Decimal, value) for value in (1.5, Decimal("1.5"))),
    *((float | dt.timedelta, value) for value in (1.5, dt.timedelta(seconds=1.5))),
    *((list[int] | tuple[int, ...], value) for value in ([1], (1,))),
    *((list[int] | set[int], value) for value in ([1], {1})),
    *((set[int] | frozenset[int], value) for value in ({1}, frozenset({1}))),
    *((str | bytes, value) for value in ("a", b"a")), *((str | Axis, value) for value in ("x",)),
    *((list[Any] | np.ndarray, value) for value in ([1.5], np.array([1.5]))), (dt.datetime, TWICE),
    (dt.datetime, TWICE.replace(fold=1)), (dt.datetime | None, TWICE), (list[dt.datetime], [TWICE]),
    (dt.time, dt.time(1, fold=1)), (dt.timedelta, dt.timedelta.max),
    (dt.timedelta, dt.timedelta(days=200_000, microseconds=1)),
    (dict[str, dt.timedelta], {"a": dt.timedelta.min}), (Decimal, Decimal("1.20")),
    (tuple[int, str], (1, "a")), (Pair, Pair(1, 2.0)), (list[Pair], [Pair(1, 2.0)]), (Axis, Axis.X),
    (Level, Level.LOW), (Word, Word.A), (Literal["a"], "a"), (deque[int], deque([1])),
    (OrderedDict[str, int], OrderedDict([("b", 1), ("a", 2)])), (Counter[str], Counter("aab")),
    (frozenset[tuple[int, int]], frozenset({(1, 2)})), (dict[dt.date, int], {dt.date(2024, 1, 1): 1}),
    (npt.NDArray[np.float32], np.array([0.1], "f4")), (np.float32, np.float32(0.1)), (np.int8, np.int8(3)),
    (Loose, Loose(1)), (Loose | Model, Loose((1, 2))), (Model, Model(value={1})), (complex, 1j),
    (bytes, b"\0"),
]  # fmt: skip


@pytest.mark.parametrize("journey", [there, back])
@pytest.mark.parametrize(("annotation", "value"), DECLARED, ids=stable)
def test_a_value_of_a_declared_type_arrives_as_it_was(journey: Any, annotation: Any, value: Any) -> None:
    assert shape(journey(annotation, value)) == shape(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Loose | Other, Other(1)),
        (dict[str, Loose | Other], {"a": Other(1)}),
        (str | Axis, Axis.X),
        (dt.datetime, dt.datetime(2024, 1, 1, tzinfo=OwnZone())),
    ],
    ids=stable,
)
def test_a_union_that_cannot_tell_its_members_apart_is_refused(annotation: Any, value: Any) -> None:
    for journey in (there, back):
        with pytest.raises(EncodingError, match=r"would come back as .*; declare its class") as caught:
            journey(annotation, value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        *((float, text, "is the text") for text in ("nan", "inf", "-Infinity", " NaN ")),
        *((float, text, "of double precision") for text in ("1e400", "-1e400", "1e-400", "1" + 400 * "0")),
        (list[float], [1.0, "1e400"], "1e400 is too large"),
        (dict[str, float], {"a": "nan"}, "the text 'nan'"),
        (float | None, "inf", "the text"),
        (list[float] | float, "inf", "the text"),
        (float, 2**53 + 1, "a float cannot hold"),
        (list[float], [10**17 + 1], "a float cannot hold"),
        (float, 10**400, "is too large for a number of double precision"),
        (np.int8, 1.5, "is not a value of int8"),
        (npt.NDArray[np.int64], [1.5], "holds values that int64 cannot represent"),
        (Decimal, Decimal("NaN"), "finite"),
        (Annotated[float, AfterValidator(lambda value: 2 * value)], 1.5, "would come back as 6.0"),
    ],
    ids=stable,
)
def test_a_number_that_would_become_another_is_refused(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises((ParametersError, EncodingError), match=message) as caught:
        there(annotation, value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scalar", [np.float64(0.1), np.float32(0.1), np.int64(2**60), np.bool_(True)])
def test_a_number_of_numpys_is_a_number(scalar: Any) -> None:
    for annotation in (Any, float, list[Any]):
        found = there(annotation, [scalar] if annotation == list[Any] else scalar)
        assert (found[0] if annotation == list[Any] else found) == scalar


def relaxed() -> Atoms:
    atoms = molecule("H2O")
    atoms.calc = EMT()
    atoms.get_potential_energy()
    atoms.get_forces()
    return atoms


@pytest.mark.parametrize("journey", [there, back])
def test_structures_keep_what_their_calculator_found(journey: Any) -> None:
    atoms = relaxed()
    [found] = journey(list[Atoms], [atoms])
    assert found == atoms
    assert found.get_potential_energy() == atoms.get_potential_energy()
    assert np.array_equal(found.get_forces(), atoms.get_forces())
    again = journey(Atoms, found)
    assert again.get_potential_energy() == atoms.get_potential_energy()


def test_results_of_another_structure_are_not_kept() -> None:
    atoms = relaxed()
    atoms.positions += [[0.1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert there(Atoms, atoms).calc is None


def test_a_result_of_a_class_that_nothing_declares_is_what_it_consists_of() -> None:
    assert back(Any, Loose(1)) == {"value": 1}
    assert back(Any, {"axis": Axis.X, "pair": Pair(1, 2.0)}) == {"axis": "x", "pair": [1, 2.0]}
