"""Options of ``celery worker`` in a profile: none that would take a worker out of its allocation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_NAMED = "the worker's name tells its allocation"
_STAYS = "the worker stays in its allocation, as who submitted it"
_BEFORE = "it belongs to celery, before the word worker, and is given there"
_OURS = {
    **dict.fromkeys(("-n", "--hostname"), _NAMED),
    **dict.fromkeys(("-D", "--detach", "--pidfile", "--uid", "--gid", "--executable"), _STAYS),
    **dict.fromkeys(("-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config"), _BEFORE),
    **dict.fromkeys(("-C", "--no-color", "-q", "--quiet", "--workdir"), _BEFORE),
    "--": "what follows it would change the worker's configuration",
}
_FLAGS = "DBE"  # of the short options, those that take no value


def check(words: Sequence[str]) -> None:
    """Refuse what is not a profile's to say.

    Raises:
        ValueError: one line says which option, and why.
    """
    for word in words:
        for option in _options(word):
            if option in _OURS:
                raise ValueError(f"{option} cannot be given: {_OURS[option]}")


def names(words: Sequence[str], *options: str) -> bool:
    """Whether one of these options is among them."""
    return any(option in options for word in words for option in _options(word))


def _options(word: str) -> Iterator[str]:
    """The options in one word: ``-Ec4`` has two."""
    if word.startswith("--"):
        yield word.partition("=")[0]
    elif word.startswith("-"):
        for letter in word[1:]:
            yield f"-{letter}"
            if letter not in _FLAGS:
                break
