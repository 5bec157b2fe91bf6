"""Read a condition, or a list of fields, as people write them.

::

    condition  = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" condition ")" | operand operator operand
               | name "is" [ "not" ] "null" | name [ "not" ] "in" "(" literal { "," literal } ")"
    operand    = name | literal
    operator   = "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">="
    literal    = number | 'text' | "text" | true | false | nan | inf
    name       = word { "." word | "[" number "]" }      a word with other characters: `in backquotes`

Reading any text takes time proportional to its length, and yields either values or a one-line `ValueError`
that says at which character it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

from simcelery.conditions.values import (
    All,
    Any,
    Comparison,
    Condition,
    In,
    IsNull,
    Literal,
    Name,
    Not,
    Operand,
)
from simcelery.readable import line, short

_DEEPEST = 50  # what is nested deeper, neither Python nor Postgres need read
_MOST_COMPARISONS = 1000
_LONGEST_NUMBER = 400  # characters
_LARGEST_EXPONENT = 400
_WORD = r"(?:[^\W\d]\w*|`[^`]+`)"
_STEP = r"(?:\.(?:\w+|`[^`]+`)|\[[0-9]+\])"
_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<infinite>[+-](?:inf|nan)\b)
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<name>{_WORD}{_STEP}*)
    | (?P<operator><=|>=|<>|!=|==|[=<>])
    | (?P<mark>[(),])
    | (?P<end>\Z))""",
    re.VERBOSE,
)
_PARTS = re.compile(r"`([^`]+)`|(\w+)")
_SAME = {"==": "=", "<>": "!="}
_CONSTANTS: dict[str, Literal] = {
    "true": True,
    "false": False,
    "nan": Decimal("NaN"),
    "inf": Decimal("Infinity"),
}
_WORDS = ("and", "or", "not", "in", "is", "null")


def condition(text: str) -> Condition:
    """The condition that a text states.

    Raises:
        ValueError: it states none.
    """
    reader = _Reader(text)
    if reader.next.kind == "end":
        raise ValueError("there is no condition: write one such as 'energy < -3 and fmax <= 0.05'")
    found = reader.condition(0)
    if reader.next.kind != "end":
        reader.stop("'and', 'or' or the end")
    return found


def fields(text: str) -> tuple[Name, ...]:
    """The names in a list such as ``structure,fmax,stress.0``, each once.

    Raises:
        ValueError: it is no such list.
    """
    reader = _Reader(text)
    found = [reader.name()]
    while reader.takes(","):
        found.append(reader.name())
    if reader.next.kind != "end":
        reader.stop("a comma")
    once: dict[tuple[str, ...], Name] = {}
    for name in found:
        once.setdefault(name.parts, name)
    return tuple(once.values())


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """The keyword or mark that it is; a name in backquotes is none."""
        return self.text.lower() if self.kind == "name" else self.text


class _Reader:
    """Goes through a text, one token ahead."""

    def __init__(self, text: str) -> None:
        for number, char in enumerate(text, 1):
            if char == "\0" or "\ud800" <= char <= "\udfff":
                raise ValueError(f"a character that is not valid text at character {number}")
        self._text = text
        self._at = 0
        self._comparisons = 0
        self.next = self._token()

    def _token(self) -> _Token:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.lastgroup is None:
            self._unexpected()
        kind = match.lastgroup
        self._at = match.end()
        return _Token(kind, match[kind], match.start(kind))

    def _unexpected(self) -> NoReturn:
        rest = self._text[self._at :].lstrip()
        at = len(self._text) - len(rest)
        if rest[0] in "'\"`":
            raise ValueError(f"the {rest[0]} at character {at + 1} is never closed")
        if rest[0].isdigit() or (rest[0] in "+-." and rest[1:2].isdigit()):
            word = re.match(r"[+-]?[\w.]*", rest)
            raise ValueError(f"{short(word and word[0])} at character {at + 1} is not a number")
        hint = ""
        if (at and self._text[at - 1] in "`_") or (at and self._text[at - 1].isalnum()):
            hint = "; write a name with such characters in backquotes, such as `k-points`"
        raise ValueError(f"unexpected {rest[0]!r} at character {at + 1}{hint}")

    def _take(self) -> _Token:
        taken, self.next = self.next, self._token()
        return taken

    def takes(self, *words: str) -> bool:
        """Go past a keyword or mark, if it is the next."""
        if self.next.kind not in ("name", "mark") or self.next.word not in words:
            return False
        self._take()
        return True

    def stop(self, expected: str) -> NoReturn:
        """Say what was expected instead of what comes next."""
        found = "it ends" if self.next.kind == "end" else f"there is {short(self.next.text)}"
        raise ValueError(f"expected {expected} at character {self.next.at + 1}, but {found}")

    def _require(self, word: str) -> None:
        if not self.takes(word):
            self.stop(repr(word))

    def condition(self, depth: int) -> Condition:
        """Alternatives."""
        parts = self._joined("or", lambda: self._all(depth))
        return parts[0] if len(parts) == 1 else Any(parts)

    def _all(self, depth: int) -> Condition:
        parts = self._joined("and", lambda: self._one(depth))
        return parts[0] if len(parts) == 1 else All(parts)

    def _joined(self, word: str, read: Callable[[], Condition]) -> tuple[Condition, ...]:
        found = [read()]
        while self.takes(word):
            found.append(read())
        return tuple(found)

    def _one(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep at character {self.next.at + 1}")
        if self.takes("not"):
            return Not(self._one(depth + 1))
        if self.takes("("):
            found = self.condition(depth + 1)
            self._require(")")
            return found
        self._comparisons += 1
        if self._comparisons > _MOST_COMPARISONS:
            raise ValueError(
                f"more than {_MOST_COMPARISONS:,} comparisons: put values into a list, as in n in (1, 2, 3)"
            )
        return self._comparison()

    def _comparison(self) -> Condition:
        start = self.next
        left = self._operand()
        if isinstance(left, Name):
            if self.takes("is"):
                negated = self.takes("not")
                self._require("null")
                return Not(IsNull(left)) if negated else IsNull(left)
            negated = self.takes("not")
            if self.takes("in"):
                found = In(left, self._list())
                return _not_in(found) if negated else found
            if negated:
                self.stop("'in'")
        if self.next.kind != "operator":
            true = f" (or, if it is true or false: {line(start.text)} = true)"
            hint = true if isinstance(left, Name) else ""
            self.stop(f"a comparison, such as < or ={hint}")
        sign = self._take()
        operator = _SAME.get(sign.text, sign.text)
        right = self._operand()
        if not isinstance(left, Name) and not isinstance(right, Name):
            raise ValueError(
                f"the comparison at character {start.at + 1} is between two values: name a field"
            )
        if operator not in ("=", "!=") and (isinstance(left, bool) or isinstance(right, bool)):
            raise ValueError(f"true and false have no order: write = or != at character {sign.at + 1}")
        return Comparison(left, operator, right)

    def _list(self) -> tuple[Literal, ...]:
        self._require("(")
        found = [self._literal()]
        while self.takes(","):
            found.append(self._literal())
        self._require(")")
        return tuple(found)

    def _literal(self) -> Literal:
        found = self._operand("a value", names=False)
        assert not isinstance(found, Name)
        return found

    def _operand(self, expected: str = "a name or a value", *, names: bool = True) -> Operand:
        token = self.next
        match token.kind:
            case "number":
                return _number(self._take())
            case "infinite":
                sign = -1 if token.text[0] == "-" else 1
                return sign * Decimal(self._take().text[1:])
            case "text":
                quote = token.text[0]
                return self._take().text[1:-1].replace(2 * quote, quote)
            case "name" if token.word in _CONSTANTS:
                return _CONSTANTS[self._take().word]
        if token.kind == "name" and token.word == "null":
            raise ValueError(f"nothing equals null: write 'is null' at character {token.at + 1}")
        if not names and token.kind == "name" and token.word not in _WORDS:
            raise ValueError(
                f"expected a value at character {token.at + 1}: write text in quotes, '{line(token.text)}'"
            )
        return self.name(expected)

    def name(self, expected: str = "a name") -> Name:
        """The name of a field."""
        if self.next.kind != "name" or self.next.word in _WORDS:
            self.stop(expected)
        text = self._take().text
        return Name(tuple(quoted or word for quoted, word in _PARTS.findall(text)), text)


def _number(token: _Token) -> Decimal:
    if len(token.text) <= _LONGEST_NUMBER:
        found = Decimal(token.text)
        if not found or abs(found.adjusted()) <= _LARGEST_EXPONENT:
            return found
    raise ValueError(f"the number {short(token.text)} at character {token.at + 1} is too long or too large")


def _not_in(found: In) -> Condition:
    """As with ``!=``, it is false where there is no value, or one of a kind that none in the list is of."""
    if len(found.values) == 1:
        return Comparison(found.name, "!=", found.values[0])
    one_of_each = {type(value): value for value in found.values}.values()
    of_a_kind = (Comparison(found.name, sign, value) for value in one_of_each for sign in ("=", "!="))
    return All((Not(found), Any(tuple(of_a_kind))))
