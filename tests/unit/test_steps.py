"""What counts for whether a step is the same: whatever its function uses, by value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simcelery.workflows.steps import Step


def made(source: str) -> Any:
    """A function from its source, as after a change of its module."""
    namespace: dict[str, Any] = {"__name__": "steps_under_test"}
    exec(compile(source, "sims.py", "exec", dont_inherit=True), namespace)
    return namespace["scf"]


VALUES = [
    ("{'a': 1}", "{'a': 2}"),
    ("{'a': {'b': [1]}}", "{'a': {'b': [2]}}"),
    ("[1, 2]", "[2, 1]"),
    ("[1, 2]", "(1, 2)"),
    ("[1, 2]", "[1, 2.0]"),
    ("[1, 0]", "[True, False]"),
    ("[0.0, 2**70]", "[-0.0, 2**70]"),
    ("{1, 2}", "{1, 3}"),
    ("frozenset('ab')", "frozenset('ac')"),
    ("np.arange(3.0)", "np.arange(3.0) * 2"),
    ("np.arange(3.0)", "np.arange(3)"),
    ("np.float64(1)", "np.float64(2)"),
    ("np.array([{}])", "np.array([{1: 2}])"),
    ("Path('a')", "Path('b')"),
    ("Mix.A", "Mix.B"),
    ("partial(max, 1)", "partial(max, 2)"),
    ("Data(1)", "Data(2)"),
    ("Plain(1)", "Plain(2)"),
    ("Slots(1)", "Slots(2)"),
    ("{'f': lambda x: x}", "{'f': lambda x: x + 1}"),
    ("{'f': [Plain(1).method]}", "{'f': [Plain(2).method]}"),
    ("Decimal('1.0')", "Decimal('2.0')"),
    ("re.compile('a')", "re.compile('b')"),
    ("OrderedDict(a=1, b=2)", "OrderedDict(b=2, a=1)"),
    ("Plain([Lock(), 1])", "Plain([Lock(), 2])"),
    ("1", "2"),
    ("0.0", "-0.0"),
    ("True", "1"),
]
KINDS = """
import re, numpy as np
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from threading import Lock
class Mix(Enum): A = 1; B = 2
@dataclass
class Data:
    x: int
class Plain:
    def __init__(self, x): self.x = x
    def method(self): return self.x
class Slots:
    __slots__ = ("x",)
    def __init__(self, x): self.x = x
"""
PLACES = {
    "a constant": "F = {}\ndef scf(k): return str(F)",
    "a variable of a module": "params = {}\ndef scf(k): return str(params)",
    "one of a helper": "F = {}\ndef helper(): return str(F)\ndef scf(k): return helper()",
    "a default of a helper": "def helper(f={}): return str(f)\ndef scf(k): return helper()",
    "a default that is only for keywords": "def helper(*, f={}): return str(f)\ndef scf(k): return helper()",
    "a default that cannot be stored": "def scf(k, f=[{}, len]): return str(f)",
    "closed over": "def outer(f):\n  def scf(k): return str(f)\n  return scf\nscf = outer({})",
    "of a class": "class C:\n  f = {}\ndef scf(k): return str(C.f)",
    "by its name": "F = {}\ndef scf(k): return str(globals()['F'])",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("values", VALUES, ids=str)
def test_whatever_a_step_uses_counts_by_value(place: str, values: tuple[str, str]) -> None:
    keys = [Step("s", made(KINDS + PLACES[place].replace("{}", value)), [1], {}).key for value in values]
    again = [Step("s", made(KINDS + PLACES[place].replace("{}", value)), [1], {}).key for value in values]
    assert keys == again
    assert keys[0] != keys[1]


WRAPPED = """
import functools
def times(n):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(k): return n * function(k) + 0
        return wrapper
    return decorate
def with_settings(settings):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(k): return settings["n"] * function(k)
        return wrapper
    return decorate
class Scaled:
    def __init__(self, function): functools.update_wrapper(self, function); self.function = function
    def __call__(self, k): return 20 * self.function(k)
"""
CHANGES = {
    "the body of a decorator": ("@times(2)\ndef h(k): return k\ndef scf(k): return h(k)", "+ 0", "+ 1"),
    "what a decorator is given": (
        "@times(2)\ndef h(k): return k\ndef scf(k): return h(k)",
        "@times(2)",
        "@times(3)",
    ),
    "what the step's decorator is given": ("@times(2)\ndef scf(k): return k", "@times(2)", "@times(3)"),
    "what is under a decorator": (
        "@times(2)\n@times(4)\ndef h(k): return k\ndef scf(k): return h(k)",
        "4",
        "5",
    ),
    "settings of a decorator": (
        "@with_settings({'n': 2})\ndef h(k): return k\ndef scf(k): return h(k)",
        "'n': 2",
        "'n': 3",
    ),
    "settings of one of two decorators": (
        "@with_settings({'n': 2})\n@with_settings({'n': 4})\ndef scf(k): return k",
        "'n': 2",
        "'n': 3",
    ),
    "settings of the other one": (
        "@with_settings({'n': 2})\n@with_settings({'n': 4})\ndef scf(k): return k",
        "'n': 4",
        "'n': 5",
    ),
    "settings of the step's decorator": (
        "@with_settings({'n': 2})\ndef scf(k): return k",
        "'n': 2",
        "'n': 3",
    ),
    "a decorator that is a class": ("@Scaled\ndef h(k): return k\ndef scf(k): return h(k)", "20", "30"),
    "a step's decorator that is a class": ("@Scaled\ndef scf(k): return k", "20", "30"),
    "an own decorator under one of a library": (
        "@functools.cache\n@times(2)\ndef h(k): return k\ndef scf(k): return h(k)",
        "@times(2)",
        "@times(3)",
    ),
    "what a function is for another class": (
        "@functools.singledispatch\ndef h(k): return 0\n@h.register(int)\ndef _(k): return 1\n"
        "def scf(k): return h(k)",
        "return 1",
        "return 2",
    ),
    "what sets a property": (
        "class C:\n  @property\n  def x(self): return 1\n  @x.setter\n  def x(self, v): self.y = v\n"
        "def scf(k): return C()",
        "= v",
        "= 2 * v",
    ),
    "the class of a class": (
        "class M(type):\n  def f(cls): return 10\nclass C(metaclass=M): pass\ndef scf(k): return C.f()",
        "10",
        "11",
    ),
    "what takes all further arguments": ("def h(a, b): return b\ndef scf(k): return h(k, 1)", "b)", "*b)"),
    "what takes all further arguments by name": (
        "def h(a, *b): return b\ndef scf(k): return h(k)",
        "*b)",
        "**b)",
    ),
    "what is tried": (
        "def h(): pass\ndef scf(k):\n  try:\n    h()\n    h()\n  except ValueError: pass\n",
        "    h()\n    h()\n  except ValueError: pass\n",
        "    h()\n  except ValueError: pass\n  else:\n    h()\n",
    ),
    "the fields of a table": (
        "import numpy as np\nT = np.array([(1, 2)], dtype=[('a', 'i8'), ('b', 'i8')])\n"
        "def scf(k): return T['a']",
        "('a', 'i8'), ('b', 'i8')",
        "('b', 'i8'), ('a', 'i8')",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_stands_around_a_function_counts(what: str) -> None:
    text, before, after = CHANGES[what]
    source = WRAPPED + text
    assert before in source
    key = Step("s", made(source), [1], {}).key
    assert key == Step("s", made(source), [1], {}).key
    assert key != Step("s", made(source.replace(before, after)), [1], {}).key


MEMO = """
import functools
def memo(function):
    known, calls = {}, [0]
    @functools.wraps(function)
    def wrapper(k):
        calls[0] += 1
        if k not in known: known[k] = function(k)
        return known[k]
    return wrapper
"""


@pytest.mark.parametrize(
    "text", ["@memo\ndef scf(k): return k", "@memo\ndef h(k): return k\ndef scf(k): return h(k)"]
)
def test_what_steps_put_into_the_cache_of_a_decorator_does_not_count(text: str) -> None:
    scf = made(MEMO + text)
    before = [Step("s", scf, [k], {}).key for k in (1, 2)]
    step = Step("s", scf, [1], {})
    with step.changing():
        scf(1)
    assert step.changed() == []
    assert [Step("s", scf, [k], {}).key for k in (1, 2)] == before


def test_decorators_of_libraries_count_by_the_function_only() -> None:
    source = "import functools, contextlib\n@functools.cache\ndef h(k): return 1\ndef scf(k): return h(k)"
    scf = made(source)
    key = Step("s", scf, [1], {}).key
    scf(1)
    assert Step("s", scf, [1], {}).key == key
    assert Step("s", made(source.replace("return 1", "return 2")), [1], {}).key != key


PROJECT = {
    "consts.py": "A = {'a': [1]}\ncell = {'b': 2}\n",
    "helpers.py": "from functools import partial\nT = [1]\ndef helped(): return T\nadded = partial(max, 1)\n",
    "sims.py": "from helpers import helped, added\nimport consts\nS = {'x', 'y', 'z', ('a', 1)}\n"
    "def scf(k):\n  from later import late\n  return helped(), added, consts.A, S, late\n",
    "later.py": "late = [1]\n",
}
KEY = """
import sims
from simcelery.workflows.steps import Step
for each in sims.scf if isinstance(sims.scf, list) else [sims.scf]:
    print(Step("s", each, [1], {}).key)
"""


def key_of(folder: Path, seed: int, **files: str) -> str:
    """The key in a process of its own."""
    for name, text in {**PROJECT, **{f"{name}.py": text for name, text in files.items()}}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    variables = {"PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1", "PATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", KEY], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_it_is_the_same_in_every_process_and_not_after_a_change_of_an_imported_module(tmp_path: Path) -> None:
    key = key_of(tmp_path, 1)
    assert key == key_of(tmp_path, 2, consts="# new\nB = 1\n" + PROJECT["consts.py"])
    changed = {
        "consts": ("[1]", "[2]"),
        "helpers": ("T = [1]", "T = [2]"),
        "later": ("[1]", "[2]"),
    }
    for module, (old, new) in changed.items():
        assert key != key_of(tmp_path, 1, **{module: PROJECT[f"{module}.py"].replace(old, new)}), module


IMPORTS = [
    "from package import inner\n  return inner.A",
    "from package import inner as i\n  return i.f()",
    "import package\n  return package.inner.A",
    "import package.inner\n  return package.inner.A",
    "import package.inner as i\n  return i.A",
    "from package.inner import A\n  return A",
    "from package.inner import f\n  return f()",
    "import package as p\n  i = p.inner\n  return i.A",
    "import package.other\n  return package.inner.A",
    "from package import late\n  return late.inner.A",
    "from package import inner, other\n  return other.f() + inner.f()",
    "i = imported\n  return i.A",
    "i = above.inner\n  return [i.A for _ in 'ab']",
]


def test_what_it_imports_counts_however_it_is_written(tmp_path: Path) -> None:
    bodies = "".join(f"def scf{number}(k):\n  {body}\n" for number, body in enumerate(IMPORTS))
    files = {
        "sims": f"import package as above\nfrom package import inner as imported\n{bodies}"
        f"scf = [{', '.join(f'scf{number}' for number in range(len(IMPORTS)))}]\n",
        "package/__init__": "from package import inner\n",
        "package/other": "def f(): return 0\n",
        "package/late": "from package import inner\n",
    }
    inner = "A = [1]\nB = [3]\ndef f(): return A\n"
    keys = key_of(tmp_path, 1, **files, **{"package/inner": inner}).split()
    assert keys == key_of(tmp_path, 2, **files, **{"package/inner": inner.replace("3", "4")}).split()
    changed = key_of(tmp_path, 1, **files, **{"package/inner": inner.replace("1", "2")}).split()
    same = [body for body, before, after in zip(IMPORTS, keys, changed, strict=True) if before == after]
    assert same == []


def test_what_steps_change_in_variables_does_not_count_but_what_others_change_does() -> None:
    scf = made("_cache = {}\nn = 0\ndef scf(k):\n  global n\n  n += 1\n  _cache[k] = n\n  return n")
    keys = []
    for _ in range(3):
        step = Step("s", scf, [1], {})
        with step.changing():
            scf(1)
        keys.append(step.key)
    assert keys == keys[:1] * 3
    scf.__globals__["_cache"]["b"] = 1
    assert Step("s", scf, [1], {}).key != keys[0]


def test_what_nobody_can_compare_is_named() -> None:
    scf = made(
        "import threading, random\nlock = threading.Lock()\nrng = random.Random()\nlog = open('/dev/null')\n"
        "class C:\n  lock = threading.Lock()\n"
        "def scf(k, out=log):\n  with lock: return rng, C"
    )
    step = Step("s", scf, [1], {})
    assert step.uncounted == ["C.lock", "lock", "out", "rng"]
    assert Step("s", scf, [1], {}).key == step.key


def test_a_method_of_an_argument_is_code_of_the_step() -> None:
    source = (
        "class M:\n  def as_dict(self): return {}\n  def energy(self): return 1\n"
        "def scf(m): return m.energy()\nscf.m = M()"
    )
    one, other = made(source), made(source.replace("return 1", "return 2"))
    assert Step("s", one, [one.m], {}).key != Step("s", other, [other.m], {}).key
    assert Step("s", one, [one.m], {}).key == Step("s", one, [one.m], {}).key


@pytest.mark.parametrize("place", ["[f.m]", "[{'a': (1, f.m)}]", "[{f.m.k: [1.0], 'b': f.m}]", "[f.n]"])
def test_so_is_one_of_what_an_argument_holds(place: str) -> None:
    source = (
        "class M:\n  k = 'a'\n  def as_dict(self): return {}\n  def energy(self): return 1\n"
        "class N:\n  def __init__(self): self.one = M()\n  def as_dict(self): return {}\n"
        "def scf(m): return 0\nscf.m, scf.n = M(), N()"
    )
    one, other = made(source), made(source.replace("return 1", "return 2"))
    assert (
        Step("s", one, [eval(place, {"f": one})], {}).key == Step("s", one, [eval(place, {"f": one})], {}).key
    )
    assert (
        Step("s", one, [eval(place, {"f": one})], {}).key
        != Step("s", other, [eval(place, {"f": other})], {}).key
    )


def test_a_default_that_is_given_is_the_same_call() -> None:
    before, after = (made(f"def scf(x, y={y}): return x + y") for y in ("2.0", "3.0"))
    assert Step("s", before, [1], {}).key == Step("s", before, [1, 2.0], {}).key
    assert Step("s", after, [1], {"y": 2.0}).key == Step("s", before, [1], {}).key
    assert Step("s", after, [1], {}).key != Step("s", before, [1], {}).key
