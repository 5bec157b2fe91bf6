"""The grammar of ``--where`` and ``--fields``."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from simcelery.conditions import reading
from simcelery.conditions.values import All, Any, Comparison, Condition, In, IsNull, Name, Not

# A machine that has much else to do is no failure.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def name(*parts: str, text: str = "") -> Name:
    return Name(parts, text or ".".join(parts))


A, B = name("a"), name("b")
ONE = Comparison(A, "=", Decimal(1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1", ONE),
        ("a==1", ONE),
        ("a <> 1", Comparison(A, "!=", Decimal(1))),
        ("a<-3.5e-2", Comparison(A, "<", Decimal("-0.035"))),
        ("a >= .5", Comparison(A, ">=", Decimal("0.5"))),
        ("5 < a", Comparison(Decimal(5), "<", A)),
        ("a < b", Comparison(A, "<", B)),
        ("a = 'it''s'", Comparison(A, "=", "it's")),
        ('a = "NaCl.cif"', Comparison(A, "=", "NaCl.cif")),
        ("a = ''", Comparison(A, "=", "")),
        ("a = TRUE", Comparison(A, "=", True)),
        ("a != -inf", Comparison(A, "!=", Decimal("-Infinity"))),
        ("a is null", IsNull(A)),
        ("a IS NOT NULL", Not(IsNull(A))),
        ("a in (1, 'b', false)", In(A, (Decimal(1), "b", False))),
        ("a not in (1)", Comparison(A, "!=", Decimal(1))),
        ("not a in (1)", Not(In(A, (Decimal(1),)))),
        ("stress.0 = 1", Comparison(name("stress", "0"), "=", Decimal(1))),
        ("s[0][12].x = 1", Comparison(name("s", "0", "12", "x", text="s[0][12].x"), "=", Decimal(1))),
        ("`k-points`.`a b` = 1", Comparison(Name(("k-points", "a b"), "`k-points`.`a b`"), "=", Decimal(1))),
        ("`in` = 1", Comparison(Name(("in",), "`in`"), "=", Decimal(1))),
        ("größe = 1", Comparison(name("größe"), "=", Decimal(1))),
        ("a=1 or a=1 and a=1", Any((ONE, All((ONE, ONE))))),
        ("(a=1 or a=1) and not a=1", All((Any((ONE, ONE)), Not(ONE)))),
        ("not (not a=1)", Not(Not(ONE))),
        ("((((a=1))))", ONE),
        ("\n a\t=\n1 ", ONE),
    ],
)
def test_a_condition_is_read(text: str, expected: Condition) -> None:
    assert reading.condition(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "there is no condition"),
        ("a", r"expected a comparison.* at character 2, but it ends"),
        ("a =", "expected a name or a value at character 4, but it ends"),
        ("a < b < c", "expected 'and', 'or' or the end at character 7, but there is '<'"),
        ("a = 1; DROP TABLE jobs", "unexpected ';' at character 6"),
        ("a = 1 -- b", "expected 'and', 'or' or the end at character 7|unexpected '-' at character 7"),
        ("k-points = 1", "unexpected '-' at character 2; .* `k-points`"),
        ("a = 'x", "the ' at character 5 is never closed"),
        ("`a = 1", "the ` at character 1 is never closed"),
        ("a = 12abc", "'12abc' at character 5 is not a number"),
        ("a = 1e99999", "too long or too large"),
        (f"a = {'1' * 100_000}", "too long or too large"),
        ("a in b", r"expected '\(' at character 6"),
        ("a in (b)", "expected a value at character 7: write text in quotes, 'b'"),
        ("a in ()", r"expected a value at character 7, but there is '\)'"),
        ("a in (1", r"expected '\)' at character 8"),
        ("a = null", "write 'is null' at character 5"),
        ("a is 1", "expected 'null' at character 6"),
        ("1 = 2", "between two values"),
        ("a < true", "true and false have no order"),
        ("(a = 1", r"expected '\)' at character 7"),
        ("a = 1)", r"expected 'and', 'or' or the end at character 6"),
        ("and = 1", "expected a name or a value at character 1"),
        ("converged and a = 1", "if it is true or false: converged = true"),
        ("a = ٣", "'٣' at character 5 is not a number"),
        ("a = 'x\0'", "not valid text at character 7"),
        ("a = '\udc80'", "not valid text at character 6"),
        ("a.'b' = 1", r"unexpected '\.' at character 2"),
        ("(" * 60 + "a = 1" + ")" * 60, "nested more than 50 deep at character 52"),
        ("not " * 100_000 + "a = 1", "nested more than 50 deep"),
        (" or ".join(["a = 1"] * 10_000), "more than 1,000 comparisons: put values into a list"),
    ],
)
def test_what_is_no_condition_is_said_in_a_line_with_its_position(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as error:
        reading.condition(text)
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 250


@_UNHURRIED
@example("`\n`")
@given(st.text(alphabet="ab01.'\"`()[],=<>!-+ \n\0éx" + "nandotrisul", max_size=60))
def test_any_text_is_a_condition_or_a_line(text: str) -> None:
    said = ""
    try:
        reading.condition(text)
    except ValueError as error:
        said = str(error)
    assert "\n" not in said


def test_a_thousand_comparisons_are_read() -> None:
    found = reading.condition(" or ".join(f"n = {number}" for number in range(1000)))
    assert isinstance(found, Any)
    assert found.parts[-1] == Comparison(name("n"), "=", Decimal(999))


def test_fields_are_names_each_once() -> None:
    found = reading.fields("structure, stress.0,stress[0] , `a,b`,state")
    assert [one.parts for one in found] == [("structure",), ("stress", "0"), ("a,b",), ("state",)]
    assert [one.text for one in found] == ["structure", "stress.0", "`a,b`", "state"]


@pytest.mark.parametrize("text", ["", "a,", "a b", ",a", "a,1", "a = 1", "a;b", "a.", "'a'"])
def test_what_is_no_list_of_fields_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="at character"):
        reading.fields(text)
