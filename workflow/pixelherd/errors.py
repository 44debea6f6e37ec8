"""The error that is shown to a user as one line."""

import difflib
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can mend, shown as one line, whatever characters names and servers put into it.

    Args:
        problem: what is wrong, and where.
        remedy: how to mend it, where the problem does not say so already.
    """

    def __init__(self, problem: str, *, remedy: str | None = None) -> None:
        super().__init__(printable(problem if remedy is None else f"{problem}; {remedy}"))
        self.problem, self.remedy = problem, remedy


@contextmanager
def suppressed() -> Iterator[list[UserError]]:
    """Keep a mistake in the list that this yields, instead of raising it."""
    found: list[UserError] = []
    try:
        yield found
    except UserError as error:
        found.append(error)


def raise_all(errors: Sequence[UserError]) -> None:
    """Raise mistakes as one, if there are any: whoever mends one of them wants to know of the others."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        problems = "; ".join(each.problem for each in errors)
        raise UserError(problems, remedy="delete these files and run the same command again")


def printable(text: str) -> str:
    """Spell characters out that would break a line, steer a terminal or cannot be written."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """The name among ``known`` that was probably meant, in capitals or not, or all of them, in brackets to end with."""
    by_letters = {str(each).lower(): str(each) for each in known}
    matches = difflib.get_close_matches(str(name).lower(), by_letters, n=1, cutoff=0.5)
    return f" (did you mean {by_letters[matches[0]]!r}?)" if matches else f" (known: {', '.join(by_letters.values())})"


def say(line: str) -> None:
    """Print a line to the user, apart from what Snakemake prints."""
    print(f"pixelherd: {line}", file=sys.stderr)
