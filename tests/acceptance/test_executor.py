"""Scripts that call functions through `simcelery.Executor`, with real workers."""

from __future__ import annotations

import pytest

from tests.conftest import Project

FUNCTIONS = """
import dataclasses, os, pathlib, time
import numpy as np

@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0

def double(x): return 2 * x
def point(x: float) -> Point: return Point(x)
def norm(p: Point) -> float: return p.x
def undeclared(x): return Point(x)
def pair(*args, **kwargs): return args, kwargs
def array(n): return np.arange(n) / 2
def fails(x): raise ValueError(f"no {x}")
def slow(x, seconds=0.0, file=None):
    time.sleep(seconds)
    return x
def traced(x, path: str, also=None):
    with open(path, "a") as file: file.write(f"{x}\\n")
    return x
"""


@pytest.fixture(scope="module")
def scripts(shared_project: Project) -> Project:
    """A project with a worker that was started before there were any functions."""
    (shared_project.folder / "functions.py").write_text(FUNCTIONS)
    return shared_project


def run(project: Project, code: str) -> str:
    """Run a script with an executor named `executor`; what it prints."""
    head = "import functions as f, simcelery, concurrent.futures as cf\n"
    done = project.python(
        f"{head}with simcelery.Executor(tag='t') as executor:\n"
        + "".join(f"    {line}\n" for line in code.strip().splitlines())
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_functions_return_comes_back_as_it_was(scripts: Project) -> None:
    said = run(
        scripts,
        """
print(executor.submit(f.double, 21).result(30))
print(executor.submit(f.pair, 1, (2, 3), k=4).result(30))
print(executor.submit(f.point, 2).result(30))
print(executor.submit(f.norm, f.Point(3.5)).result(30))
print(repr(executor.submit(f.array, 3).result(30)))
print(list(executor.map(f.double, [3, 1, 2])))
""",
    )
    assert said.splitlines() == [
        "42",
        "((1, (2, 3)), {'k': 4})",
        "Point(x=2.0, y=0.0)",
        "3.5",
        "array([0. , 0.5, 1. ])",
        "[6, 2, 4]",
    ]
