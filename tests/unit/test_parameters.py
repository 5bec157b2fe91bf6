"""Parameters: the annotations that scientists write, the mistakes they make, the types they get back."""

# ruff: noqa: UP007, UP045  (people write Optional and Union)

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import io
import json
import math
import threading
import typing
import uuid
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    IO,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NewType,
    NoReturn,
    Optional,
    TextIO,
    TypedDict,
    TypeVar,
    Union,
)

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from simcelery.errors import DefinitionError, EncodingError, ParametersError
from simcelery.workflows.encoding import JobRef, encode, job_refs
from simcelery.workflows.parameters import Parameters, readings
from tests.unit import future_annotations
from tests.unit.names import stable
from tests.unit.test_encoding import same, through_jsonb


def parameters(annotation: Any, default: Any = ..., returns: Any = None) -> Parameters:
    """The parameters of a workflow called w with one parameter, x."""

    def w(x): ...  # type: ignore[no-untyped-def]

    w.__annotations__ = {"x": annotation, "return": returns}
    if default is not ...:
        w.__defaults__ = (default,)
    return Parameters("w", w)


def journey(annotation: Any, value: Any) -> Any:
    """What a worker is given for what a client submitted."""
    known = parameters(annotation)
    valid = known.validate(known.bind((), {"x": value}))
    return known.restore(through_jsonb(known.encode(valid, lambda ref: ref.id)))["x"]


class Phase(enum.Enum):
    FCC = "fcc"
    BCC = "bcc"


class Axis(enum.Flag):
    X = 1
    Y = 2


@dataclass
class Grid:
    spacing: float
    values: np.ndarray[Any, Any]
    phase: Phase = Phase.FCC


@dataclass
class Cell:
    grid: Grid
    volume: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.volume = self.grid.spacing**3


class Options(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    cutoff: float = Field(alias="cut-off", gt=0)
    grid: Grid
    kpoints: tuple[int, int, int] = Field((1, 1, 1), validation_alias="kpts")


class Crystal:
    """As in ASE and pymatgen: a plain class that turns itself into a dictionary and back."""

    def __init__(self, a: float) -> None:
        self.a = a

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crystal) and other.a == self.a

    __hash__ = None  # type: ignore[assignment]

    def todict(self) -> dict[str, Any]:
        return {"lattice": self.a}

    @classmethod
    def fromdict(cls, given: dict[str, Any]) -> "Crystal":
        return cls(given["lattice"])


@dataclass
class Spin:
    """A dataclass with a form of its own."""

    up: int

    def as_dict(self) -> dict[str, Any]:
        return {"@up": self.up}

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> "Spin":
        return cls(given["@up"])


class Point(NamedTuple):
    x: float
    y: float


class Opaque: ...


@dataclass
class Locked:
    energy: float
    owner: "list[threading.Thread]"


class Sized(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    energy: float
    owner: threading.Thread


class OneWay:
    def as_dict(self) -> dict[str, Any]:
        return {}


Energy = NewType("Energy", float)
Positive = Annotated[float, Field(gt=0)]


def read_crystal(value: Any) -> Any:
    return Crystal(4.05) if value == "Al" else Crystal.fromdict(value) if isinstance(value, dict) else value


Structure = Annotated[
    Crystal,
    BeforeValidator(read_crystal),
    WithJsonSchema({"type": ["string", "object"], "description": "a file, or an fcc metal"}),
]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (float, math.inf),
        (bool, True),
        (str, "Å"),
        (complex, 1 - 2j),
        (bytes, b"\0\xff"),
        (Any, {"a": [1, None, 2.5]}),
        (object, "anything"),
        (Literal["pbe", 1], "pbe"),
        (Optional[float], None),
        (float | None, 2.0),
        (Union[int, str], "a"),
        (int | list[float], [1.0]),
        (list[int], [1, 2]),
        (list, [1, "a"]),
        (dict[int, str], {1: "a", 10: "b"}),
        (dict[tuple[int, int], float], {(1, 2): 0.5}),
        (dict[Phase, int], {Phase.FCC: 1}),
        (tuple[float, ...], (1.0, 2.0)),
        (tuple[int, str], (1, "a")),
        (set[int], {3, 1}),
        (frozenset[str], frozenset({"a"})),
        (Sequence[int], [1]),
        (Mapping[str, int], {"a": 1}),
        (Path, Path("a/b.cif")),
        (dt.datetime, dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)),
        (dt.date, dt.date(2024, 1, 2)),
        (dt.timedelta, dt.timedelta(days=3, microseconds=7)),
        (uuid.UUID, uuid.UUID(int=5)),
        (decimal.Decimal, decimal.Decimal("0.10")),
        (Phase, Phase.BCC),
        (Axis, Axis.X | Axis.Y),
        (Energy, -3.2),
        (Positive, 0.5),
        (Point, Point(1.0, 2.0)),
        (Crystal, Crystal(3.6)),
        (Crystal | None, Crystal(3.6)),
        (list[Crystal], [Crystal(1.0), Crystal(2.0)]),
        (dict[str, Crystal], {"a": Crystal(1.0)}),
        (Annotated[Crystal, "a crystal"], Crystal(1.0)),
        (Structure, Crystal(3.0)),
        (Spin, Spin(2)),
        (np.float64, np.float64(0.1)),
        (np.int32, np.int32(4)),
    ],
    ids=stable,
)
def test_a_worker_gets_what_was_submitted(annotation: Any, value: Any) -> None:
    found = journey(annotation, value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "array",
    [np.zeros((0, 3)), np.arange(6, dtype="int8").reshape(2, 3), np.array(1.5, dtype="float32")],
    ids=stable,
)
@pytest.mark.parametrize(
    "annotation", [np.ndarray, npt.NDArray[np.float64], np.ndarray | None, Any], ids=stable
)
def test_arrays_arrive_as_they_were(annotation: Any, array: np.ndarray[Any, Any]) -> None:
    assert same(array, journey(annotation, array))


def test_lists_become_arrays_of_the_declared_dtype() -> None:
    assert same(np.array([1.0, 2.0]), journey(npt.NDArray[np.float64], [1, 2]))
    assert same(np.array([1, 2]), journey(np.ndarray, [1, 2]))
    assert same(np.array([0.5]), journey(npt.NDArray[np.floating[Any]], [0.5]))


def test_dataclasses_with_arrays_and_computed_fields_are_rebuilt() -> None:
    found = journey(Cell, Cell(Grid(2.0, np.eye(2), Phase.BCC)))
    assert isinstance(found, Cell)
    assert (found.volume, found.grid.phase) == (8.0, Phase.BCC)
    assert same(np.eye(2), found.grid.values)


def test_pydantic_models_with_aliases_are_rebuilt() -> None:
    given = Options(**{"cut-off": 3.0, "kpts": (2, 2, 1)}, grid=Grid(1.0, np.ones(2)))
    found = journey(Options, given)
    assert isinstance(found, Options)
    assert (found.cutoff, found.kpoints, found.grid.phase) == (3.0, (2, 2, 1), Phase.FCC)
    assert same(np.ones(2), found.grid.values)


def test_an_iterable_is_read_once_and_arrives_as_a_list() -> None:
    assert journey(Iterable[float], (i / 2 for i in range(3))) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("annotation", "given", "arrives"),
    [
        (int, np.int64(3), 3),
        (bool, np.bool_(True), True),
        (float, np.float32(0.5), 0.5),
        (list[float], np.array([1.0, 2.0]), [1.0, 2.0]),
        (list[int], [np.int8(1)], [1]),
        (list[list[int]], np.eye(2, dtype=int), [[1, 0], [0, 1]]),
        (dict[str, int], {"a": np.int64(1)}, {"a": 1}),
        (set[int], {np.int64(1)}, {1}),
        (tuple[int, int], (np.int64(1), 2), (1, 2)),
    ],
    ids=stable,
)
def test_numpy_numbers_and_arrays_are_taken_for_python_ones(
    annotation: Any, given: Any, arrives: Any
) -> None:
    assert same(arrives, journey(annotation, given)) or journey(annotation, given) == arrives


def test_converting_one_parameter_from_numpy_leaves_the_others_alone() -> None:
    def w(n: Annotated[list[int], Strict()], grid: np.ndarray) -> None: ...  # type: ignore[type-arg]

    valid = Parameters("w", w).validate({"n": np.arange(2), "grid": np.zeros((0, 3), dtype="float32")})
    assert valid["n"] == [0, 1]
    assert same(np.zeros((0, 3), dtype="float32"), valid["grid"])


def test_names_that_pydantic_uses_itself_are_ordinary_parameters() -> None:
    def w(
        json: int, copy: str, schema: float, model_config: bool, model_fields: int = 3, p0: int = 4
    ) -> None: ...

    known = Parameters("w", w)
    given = {"json": 1, "copy": "c", "schema": 0.5, "model_config": True}
    valid = known.validate(known.bind((), given))
    assert valid == {**given, "model_fields": 3, "p0": 4}
    assert known.restore(known.encode(valid, lambda ref: ref.id)) == valid
    assert list(known.json_schema()["properties"]) == known.names


def test_annotations_may_be_text_and_refer_to_what_comes_later() -> None:
    walk = Parameters("walk", future_annotations.walk)
    node = future_annotations.Node(1.0, [future_annotations.Node(2.0)])
    stored = through_jsonb(
        walk.encode(walk.validate({"node": node, "weights": {"a": np.ones(2)}}), lambda ref: ref.id)
    )
    restored = walk.restore(stored)
    assert restored["node"] == node
    assert same(np.ones(2), restored["weights"]["a"])
    later = Parameters("later", future_annotations.later)
    assert later.validate({"early": {"n": 1}}) == {"early": future_annotations.Later(1)}


@pytest.mark.parametrize("function", [future_annotations.hidden, future_annotations.dangling])
def test_an_annotation_that_cannot_be_resolved_is_an_error_at_the_definition(function: Any) -> None:
    with pytest.raises(
        DefinitionError, match=r"^workflow w: an annotation cannot be .*(Decimal|Nowhere)"
    ) as caught:
        Parameters("w", function)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("default", "annotation", "value"),
    [
        (None, float, None),
        (None, Optional[int], None),
        ([], list[int], []),
        ({}, dict[str, int], {}),
        (math.nan, float, math.nan),
        (1, float, 1.0),
        ((1, 2), tuple[int, ...], (1, 2)),
        (Phase.FCC, Phase, Phase.FCC),
        ("fcc", Phase, Phase.FCC),
        (Path("a"), Path, Path("a")),
        ("", str, ""),
        (False, bool, False),
        (..., Any, None),
    ],
    ids=stable,
)
def test_defaults_of_every_kind_are_filled_in(default: Any, annotation: Any, value: Any) -> None:
    known = parameters(annotation, default)
    if default is ...:
        with pytest.raises(ParametersError, match="missing"):
            known.bind((), {})
        return
    found = known.validate(known.bind((), {}))["x"]
    assert type(found) is type(value)
    assert found == value or same(value, found)
    if isinstance(value, list | dict | tuple | float | str | type(None)):
        assert same(
            known.encode({"x": found}, lambda ref: ref.id)["x"],
            known.json_schema()["properties"]["x"]["default"],
        )


def test_a_mutable_default_is_not_shared_between_calls() -> None:
    default: list[int] = []
    known = parameters(list[int], default)
    known.validate({})["x"].append(1)
    assert known.validate({})["x"] == []
    array = parameters(np.ndarray, np.zeros(2))
    assert same(np.zeros(2), array.validate({})["x"])


def test_a_default_of_none_means_that_none_may_be_given() -> None:
    known = parameters(float, None)
    assert known.validate({"x": None}) == {"x": None}
    assert known.validate({"x": 2}) == {"x": 2.0}
    assert known.describe() == [("x", "float | None", "None")]


def test_keyword_only_parameters_are_given_by_name() -> None:
    def w(a: int, *, b: int = 2) -> None: ...

    known = Parameters("w", w)
    assert known.bind((1,), {"b": 3}) == {"a": 1, "b": 3}
    with pytest.raises(
        ParametersError, match=r"^w takes 1 parameter without their names, not 2; it takes: a, b$"
    ):
        known.bind((1, 2), {})


def unannotated(x): ...  # type: ignore[no-untyped-def]
def args(*x: int) -> None: ...
def kwargs(**x: int) -> None: ...
def positional_only(x: int, /) -> None: ...
def method(self, x: int) -> None: ...  # type: ignore[no-untyped-def]
def pydantic_default(x: int = Field(3, gt=0)) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (unannotated, r"parameter 'x' has no annotation; add one, such as x: float"),
        (args, r"parameter '\*x: int' has no name of its own .* take a list or a dict"),
        (kwargs, r"parameter '\*\*x: int' has no name of its own"),
        (positional_only, r"parameter 'x: int' has no name of its own"),
        (method, r"a method cannot be a workflow; write a function"),
        (pydantic_default, r"has a pydantic Field as its default; write x: Annotated\["),
        (functools.partial(max, 1), r"(has no signature|an annotation cannot be resolved)"),
        (dict, r"has no signature"),
    ],
)
def test_a_function_whose_parameters_have_no_names_or_types_is_refused(function: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=f"^workflow w: .*{message}") as caught:
        Parameters("w", function)
    assert "\n" not in str(caught.value)


UNSTORABLE = [
    (Callable[[float], float], "a function"),
    (typing.Callable, "a function"),
    (list[Callable[[], None]], "a function"),
    (Callable[..., Any] | None, "a function"),
    (type, "a class"),
    (type[int], "a class"),
    (IO[str], r"a typing\.IO"),
    (TextIO, r"a typing\.TextIO"),
    (type(threading.Lock()), r"a thread\.lock"),
    (threading.Event, r"a threading\.Event"),
    (Iterator[int], r"a collections\.abc\.Iterator"),
    (range, r"a builtins\.range"),
    (np.longdouble, r"a numpy\.longdouble"),
    (np.floating, r"a numpy\.floating"),
    (np.ma.MaskedArray, r"a numpy\.ma\.\S*MaskedArray"),
    (Opaque, r"a \S*Opaque"),
    (OneWay, r"a \S*OneWay"),
    (dict[str, Opaque], r"a \S*Opaque"),
    (Annotated[Opaque, "note"], r"a \S*Opaque"),
    (threading.Thread | None, r"a threading\.Thread"),
    (tuple[int, io.BytesIO], r"a io\.BytesIO"),
    (Generator[int, None, None], r"a collections\.abc\.Generator"),
    (Awaitable[int], r"a collections\.abc\.Awaitable"),
    (Locked, r"a threading\.Thread"),
    (list[Locked], r"a threading\.Thread"),
    (Sized, r"a threading\.Thread"),
]


@pytest.mark.parametrize(("annotation", "what"), UNSTORABLE, ids=stable)
def test_a_type_that_no_worker_could_rebuild_is_refused_at_the_definition(annotation: Any, what: str) -> None:
    with pytest.raises(
        DefinitionError,
        match=rf"^workflow w: parameter 'x' is {what}, which cannot be stored on the board; take plain",
    ):
        parameters(annotation)


@pytest.mark.parametrize(("annotation", "what"), UNSTORABLE, ids=stable)
def test_a_result_of_such_a_type_is_refused_at_the_definition_too(annotation: Any, what: str) -> None:
    with pytest.raises(
        DefinitionError,
        match=rf"^workflow w: its result is {what}, which cannot be stored on the board; return plain",
    ) as caught:
        parameters(int, returns=annotation)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [future_annotations.frame, future_annotations.frames], ids=stable)
def test_a_result_annotation_that_is_text_is_checked_too(function: Any) -> None:
    with pytest.raises(DefinitionError, match=r"^workflow w: its result is a threading\.Thread, which"):
        Parameters("w", function)


def test_a_result_annotation_that_cannot_be_resolved_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"^workflow w: an annotation cannot be resolved: .*Nowhere"):
        Parameters("w", future_annotations.nowhere)


class Spectrum(TypedDict):
    energies: list[float]


@pytest.mark.parametrize(
    "returns",
    [
        *(None, Any, object, float, list[Crystal], Crystal | None, np.ndarray, Spectrum, NoReturn),
        *(Iterable[int], "list[int]", TypeVar("T"), Grid, dict[str, tuple[Cell, ...]], Literal["a"]),
    ],
    ids=stable,
)
def test_a_result_that_can_be_stored_may_be_declared(returns: Any) -> None:
    parameters(int, returns=returns)


@pytest.mark.parametrize("annotation", [threading.Lock, 5, Annotated[str, Field(pattern="[")]], ids=stable)
def test_an_annotation_that_is_no_type_is_refused_without_a_warning(annotation: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DefinitionError, match=r"^workflow w: an annotation cannot be used: ") as caught:
            parameters(annotation)
    assert "\n" not in str(caught.value)


def relax(structure: str, fmax: float = 0.05, steps: int = 100) -> None: ...


RELAX = Parameters("relax", relax)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (
            ("a",),
            {"fmx": 1},
            r"there is no parameter 'fmx'; did you mean 'fmax'\? it takes: structure, fmax, steps",
        ),
        (("a",), {"zzz": 1}, r"there is no parameter 'zzz'; it takes: structure, fmax, steps"),
        (("a",), {"structure": "b"}, r"parameter 'structure' is given twice"),
        ((), {}, r"missing parameter 'structure'"),
        ((1, 2, 3, 4), {}, r" ?takes 3 parameters, not 4; it takes: structure"),
    ],
)
def test_a_typo_names_the_parameter_that_was_meant(args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(ParametersError, match=f"^relax:? ?{message}"):
        RELAX.bind(args, kwargs)


def test_every_missing_parameter_is_named() -> None:
    def w(a: int, b: int, c: int = 1) -> None: ...

    with pytest.raises(ParametersError, match=r"^w: missing parameters 'a', 'b'$"):
        Parameters("w", w).bind((), {})


def refuse(value: Any) -> Any:
    raise ValueError("no file POSCAR\nhere")


def explode(value: Any) -> Any:
    raise OSError("disk gone")


@pytest.mark.parametrize(
    ("annotation", "given", "message"),
    [
        (float, "fast", r"parameter 'x': 'fast' is not a number$"),
        (int, 1.5, r"parameter 'x': 1\.5 is not an integer$"),
        (list[float], [1.0, "a"], r"parameter 'x'\[1\]: 'a' is not a number$"),
        (dict[str, int], {"k": "v"}, r"parameter 'x'\.k: 'v' is not an integer$"),
        (int | list[float], "abc", r"parameter 'x': 'abc' is neither an integer nor a list$"),
        (np.ndarray | float, "abc", r"parameter 'x': 'abc' is neither an instance of ndarray nor a number$"),
        (Literal["a", "b"], "c", r"parameter 'x': 'c' is not 'a' or 'b'$"),
        (Positive, -1, r"parameter 'x': -1 is not greater than 0$"),
        (int, np.zeros((3, 3)), r"parameter 'x': array\(\[\[0\., .* is not an integer$"),
        (str, 5, r"parameter 'x': 5 is not a string$"),
        (Annotated[str, BeforeValidator(refuse)], "a", r"parameter 'x': no file POSCAR here \(given 'a'\)$"),
        (Annotated[str, BeforeValidator(explode)], "a", r"a parameter cannot be read: OSError: disk gone$"),
        (
            Crystal,
            {"b": 1},
            r"parameter 'x': Crystal\.fromdict\(\) failed: KeyError: 'lattice' \(given {'b': 1}\)$",
        ),
        (Grid, {"spacing": 1.0}, r"parameter 'x'\.values is missing$"),
        (
            Grid,
            {"spacing": 1.0, "values": np.ones(1), "b": 1},
            r"parameter 'x'\.b is not a field of its class",
        ),
        (
            Grid,
            Grid("wide", np.ones(1)),
            r"parameter 'x'\.spacing: 'wide' is not a number$",
        ),
        (float, "y" * 500, r"parameter 'x': 'y+\.\.\. is not a number$"),
    ],
    ids=stable,
)
def test_a_wrong_type_is_one_line_with_what_was_given(annotation: Any, given: Any, message: str) -> None:
    with pytest.raises(ParametersError, match=f"^w: {message}") as caught:
        parameters(annotation).validate({"x": given})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_default_that_does_not_fit_is_named_by_its_parameter() -> None:
    with pytest.raises(ParametersError, match=r"^w: parameter 'x': 'auto' is not an integer$"):
        parameters(int, "auto").validate({})


def test_a_value_that_cannot_be_stored_is_named_by_workflow_parameter_and_path() -> None:
    known = parameters(Any)
    with pytest.raises(EncodingError, match=r"^w: parameter x\.a\[0\]: a function cannot be stored"):
        known.encode(known.validate({"x": {"a": [len]}}), lambda ref: ref.id)
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(EncodingError, match=r"^w: parameter x: .*contains itself"):
        known.validate({"x": loop})


class Handle(JobRef):
    def __init__(self, number: int) -> None:
        self.id = number


class Handles(Sequence[Handle]):
    """As `submit_many` returns them: a sequence that is not a list."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return [Handle(1), Handle(2)][index]


@pytest.mark.parametrize(
    ("annotation", "given", "arrives"),
    [
        (float, Handle(1), 10.0),
        (list[float], [Handle(1), 2.5, Handle(2)], [10.0, 2.5, 20.0]),
        (list[float], Handles(), [10.0, 20.0]),
        (dict[str, tuple[float, ...]], {"a": (Handle(1),)}, {"a": (10.0,)}),
        (Any, {"deep": [{"er": Handle(1)}]}, {"deep": [{"er": 10}]}),
    ],
    ids=stable,
)
def test_a_job_stands_for_its_result_until_the_claim(annotation: Any, given: Any, arrives: Any) -> None:
    known = parameters(annotation)
    stored = through_jsonb(known.encode(known.validate({"x": given}), lambda ref: ref.id))
    assert job_refs(stored)
    found = known.restore(stored, job=lambda number: number * 10)["x"]
    assert found == arrives
    assert type(found) is type(arrives)


def test_a_result_that_does_not_fit_is_found_at_the_claim_and_other_values_at_once() -> None:
    def w(energy: float, n: int) -> None: ...

    known = Parameters("w", w)
    with pytest.raises(ParametersError, match=r"^w: parameter 'n'"):
        known.validate({"energy": Handle(1), "n": "many"})
    stored = known.encode(known.validate({"energy": Handle(1), "n": 1}), lambda ref: ref.id)
    with pytest.raises(ParametersError, match=r"^w: parameter 'energy': 'no' is not a number$"):
        known.restore(stored, job=lambda number: "no")


@dataclasses.dataclass
class Sum:
    parts: list[float]


def count(value: Any) -> Any:
    return len(value)


@pytest.mark.parametrize(
    ("annotation", "given", "words"),
    [
        (list[float], [Handle(1), 1.0, "many"], "'x'[2]: 'many' is not a number"),
        (dict[str, list[int]], {"a": [1], "b": [Handle(1), 1.5]}, "'x'.b[1]: 1.5 is not an integer"),
        (tuple[float, str], (Handle(1), 5), "'x'[1]: 5 is not a string"),
        (tuple[float, str, int], (Handle(1), "a"), "'x'[2] is missing"),
        (list[Annotated[float, Field(gt=0)]], [Handle(1), -1.0], "'x'[1]: -1.0 is not greater than 0"),
        (list[Literal["a", "b"]], [Handle(1), "c"], "'x'[1]: 'c' is not 'a' or 'b'"),
        (list[float] | None, [Handle(1), "many"], "'x'[1]: 'many' is not a number"),
        (dict[int, float], {"k": Handle(1)}, "'x': the key 'k' is not an integer"),
    ],
    ids=stable,
)
def test_what_lies_beside_a_job_is_checked_at_the_submission(annotation: Any, given: Any, words: str) -> None:
    known = parameters(annotation)
    with pytest.raises(ParametersError) as caught:
        known.encode(known.validate({"x": given}), lambda ref: ref.id)
    assert str(caught.value) == f"w: parameter {words}"


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        (list[float], [Handle(1), 1, np.float32(2.5), np.int64(3)]),
        (list[float] | list[str], [Handle(1), "many"]),
        (list[float | str], [Handle(1), "many"]),
        (int | list[int], [Handle(1), 2]),
        (Annotated[list[float], Field(max_length=2)], [Handle(1), 1.0]),
        (Annotated[int, BeforeValidator(count)], [Handle(1), "many"]),
        (Sum, {"parts": [Handle(1), 2.0]}),
        (np.ndarray, [Handle(1), 2.0]),
        (tuple[float, ...], [Handle(1), 2.0]),
        (Any, {"a": [Handle(1), "many"]}),
    ],
    ids=stable,
)
def test_what_may_fit_with_a_jobs_result_is_not_refused(annotation: Any, given: Any) -> None:
    known = parameters(annotation)
    assert job_refs(known.encode(known.validate({"x": given}), lambda ref: ref.id)) == {1}


def test_parameters_that_no_longer_fit_the_code_are_one_line() -> None:
    with pytest.raises(ParametersError, match=r"^relax: there is no parameter 'old'"):
        RELAX.restore({"structure": "a", "old": 1})


@pytest.mark.parametrize(
    ("returns", "result"),
    [
        (Crystal, Crystal(1.5)),
        (list[Crystal], [Crystal(1.5)]),
        (tuple[int, ...], (1, 2)),
        (dict[int, Path], {1: Path("a")}),
        (Point, Point(0.0, 1.0)),
        (Optional[Phase], Phase.FCC),
        (None, None),
        (float, math.inf),
    ],
    ids=stable,
)
def test_a_result_comes_back_with_its_declared_type(returns: Any, result: Any) -> None:
    found = parameters(int, returns=returns).restore_result(through_jsonb(encode(result)))
    assert found == result
    assert type(found) is type(result)


def test_a_result_dataclass_with_arrays_comes_back_whole() -> None:
    cell = Cell(Grid(2.0, np.arange(3)))
    cell.volume = -1.0  # set after it was made, as results are
    found = parameters(int, returns=Cell).restore_result(through_jsonb(encode(cell)))
    assert isinstance(found, Cell)
    assert found.volume == -1.0
    assert same(np.arange(3), found.grid.values)


@pytest.mark.parametrize(
    "returns",
    [float, Crystal, Grid, Literal["a"], list[int]],
    ids=stable,
)
def test_a_result_that_does_not_fit_its_annotation_is_given_as_it_is(returns: Any) -> None:
    found = parameters(int, returns=returns).restore_result(encode({"surprise": [1, math.inf]}))
    assert found == {"surprise": [1, math.inf]}


def test_a_result_without_annotation_is_plain_data() -> None:
    def w(x: int): ...  # type: ignore[no-untyped-def]

    assert Parameters("w", w).restore_result({"a": [1, 2]}) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (float, "0.01", 0.01),
        (float, "nan", math.nan),
        (int, "1e3", 1000),
        (str, "123", "123"),
        (Optional[str], "123", "123"),
        (Optional[str], "null", None),
        (bool, "yes", True),
        (bool, "false", False),
        (list[int], "[1, 2]", [1, 2]),
        (Path, "42", Path("42")),
        (Path, "a=b.cif", Path("a=b.cif")),
        (Literal["1", "a"], "1", "1"),
        (Phase, "fcc", Phase.FCC),
        (dict[str, float], '{"a": 1}', {"a": 1.0}),
        (Crystal, '{"lattice": 2}', Crystal(2)),
        (Structure, "Al", Crystal(4.05)),
        (dt.timedelta, "PT1H", dt.timedelta(hours=1)),
        (Any, "[" * 100_000, "[" * 100_000),
        (Any, "a", "a"),
    ],
    ids=lambda value: stable(value)[:30],
)
def test_text_from_the_command_line_is_read_as_the_type_it_is_for(
    annotation: Any, text: str, value: Any
) -> None:
    known = parameters(annotation)
    found = known.validate(known.parse([("x", text)]))["x"]
    assert found == value or same(value, found)
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (float, "fast", r"parameter 'x': 'fast' is not a number"),
        (list[float], '[1, "a"]', r"parameter 'x'\[1\]: 'a' is not a number"),
        (Annotated[str, BeforeValidator(explode)], "a", r"parameter 'x' cannot be read: OSError: disk gone"),
    ],
)
def test_text_that_fits_in_no_reading_is_one_line(annotation: Any, text: str, message: str) -> None:
    with pytest.raises(ParametersError, match=f"^w: {message}$"):
        parameters(annotation).parse([("x", text)])


def test_an_unknown_name_on_the_command_line_gets_a_hint() -> None:
    with pytest.raises(ParametersError, match=r"^relax: there is no parameter 'fmx'; did you mean 'fmax'\?"):
        RELAX.parse([("fmx", "1")])


def test_a_text_is_read_as_json_first_unless_text_is_wanted() -> None:
    assert readings("1.5") == [1.5, "1.5"]
    assert readings("1.5", prefer_text=True) == ["1.5", 1.5]
    assert readings("abc") == ["abc"]


SCHEMA_TYPES = [
    *(
        int,
        float,
        str,
        bool,
        complex,
        bytes,
        Any,
        object,
        Literal["a", 1],
        Optional[int],
        int | str,
        list[int],
    ),
    *(
        dict[int, str],
        tuple[float, ...],
        set[int],
        np.ndarray,
        npt.NDArray[np.float64],
        list[np.ndarray],
        np.int64,
    ),
    *(
        Path,
        dt.datetime,
        dt.timedelta,
        uuid.UUID,
        decimal.Decimal,
        Phase,
        Axis,
        Energy,
        Positive,
        Point,
        Iterable[int],
    ),
    *(
        Crystal,
        list[Crystal] | None,
        Spin,
        Grid,
        Cell,
        Options,
        list[Options],
        Structure,
        future_annotations.Node,
    ),
    *(Annotated[float, AfterValidator(abs)], Annotated[float, Field(lt=math.inf)]),
]


@pytest.mark.parametrize("annotation", SCHEMA_TYPES, ids=stable)
def test_every_type_has_a_json_schema_that_the_catalogue_can_hold(annotation: Any) -> None:
    schema = parameters(annotation).json_schema()
    text = json.dumps(schema, allow_nan=False)
    assert schema["required"] == ["x"]
    assert list(schema["properties"]) == ["x"]
    for reference in text.split('"$ref": "')[1:]:
        assert reference.partition('"')[0].removeprefix("#/$defs/") in schema["$defs"]


def test_the_schema_says_type_default_and_what_is_required() -> None:
    schema = RELAX.json_schema()
    assert schema["required"] == ["structure"]
    assert schema["properties"] == {
        "structure": {"type": "string"},
        "fmax": {"type": "number", "default": 0.05},
        "steps": {"type": "integer", "default": 100},
    }


def test_a_type_without_a_schema_is_described_by_its_name() -> None:
    schema = parameters(list[np.ndarray]).json_schema()
    assert schema["properties"]["x"] == {"type": "array", "items": {"description": "ndarray"}}


def test_two_classes_of_one_name_do_not_hide_each_other_in_the_schema() -> None:
    def make(kind: type) -> type:
        return dataclasses.make_dataclass("Config", [("n", kind)])

    one, other = make(int), make(str)
    other.__module__ = "elsewhere"

    def w(a, b): ...  # type: ignore[no-untyped-def]

    w.__annotations__ = {"a": one, "b": other}
    schema = Parameters("w", w).json_schema()
    found = [
        schema["$defs"][schema["properties"][name]["$ref"].rpartition("/")[2]]["properties"]["n"]["type"]
        for name in ("a", "b")
    ]
    assert found == ["integer", "string"]


@pytest.mark.parametrize(
    "default", [math.nan, -math.inf, Opaque(), len, "a\0b", np.array([math.nan])], ids=stable
)
def test_a_default_that_json_cannot_hold_does_not_break_the_catalogue(default: Any) -> None:
    text = json.dumps(parameters(Any, default).json_schema(), allow_nan=False)
    assert '"default"' in text
    assert "\\u0000" not in text


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (float, "float"),
        (Optional[float], "float | None"),
        (Union[int, str], "int | str"),
        (Literal["pbe", "lda"], "'pbe' | 'lda'"),
        (list[dict[str, float]], "list[dict[str, float]]"),
        (tuple[float, ...], "tuple[float, ...]"),
        (Any, "Any"),
        (Energy, "Energy"),
        (np.ndarray, "ndarray"),
        (npt.NDArray[np.float64], "ndarray"),
        (Crystal | None, "Crystal | None"),
        (Positive, "float"),
        (Structure, "a file, or an fcc metal"),
        (list[Structure], "list[a file, or an fcc metal]"),
        (Annotated[int, WithJsonSchema({"title": "a k-point count"})], "a k-point count"),
        (Annotated[int, WithJsonSchema({"type": "integer"})], "int"),
    ],
    ids=stable,
)
def test_a_type_is_described_in_words_for_people(annotation: Any, words: str) -> None:
    assert parameters(annotation).describe() == [("x", words, "")]


def test_a_large_default_is_described_in_one_short_line() -> None:
    ((_, _, default),) = parameters(np.ndarray, np.zeros((50, 50))).describe()
    assert default.startswith("array([[0.")
    assert "\n" not in default
    assert len(default) <= 60


def test_true_is_no_number() -> None:
    def function(
        x: float = 1.0, n: int = 1, b: bool | float = 1.0, many: list[float] | None = None
    ) -> None: ...

    known = Parameters("w", function)
    for given in ({"x": True}, {"n": False}, {"many": [1.0, True]}):
        with pytest.raises(ParametersError, match=r"(true|false) is no number; write"):
            known.validate(known.bind((), given))
    with pytest.raises(ParametersError, match=r"parameter .x.: true is no number; write 1\.0"):
        known.parse([("x", "true")])
    assert known.parse([("b", "true")]) == {"b": True}
