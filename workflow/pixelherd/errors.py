"""What a user is told: mistakes as one line each, and lines that whoever shows them may hold back or colour."""

import difflib
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO


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


VOICE = logging.getLogger("pixelherd")
"""What the functions below say. Who shows it in another way takes the place of its handler."""
PASSING, RESULT, NEWS, MISTAKE = logging.INFO, logging.INFO + 5, logging.WARNING, logging.ERROR
"""Levels of what is said."""
RED, YELLOW = 31, 33
COLOURS = {NEWS: YELLOW, MISTAKE: RED}


def say(line: str) -> None:
    """Tell the user something to know or to do."""
    VOICE.log(NEWS, line)


def mention(line: str) -> None:
    """Tell the user what goes on, which is of no concern once it is over."""
    VOICE.log(PASSING, f"{line} ...")


def show(text: str) -> None:
    """Show the user what was asked for."""
    VOICE.log(RESULT, text)


def complain(error: UserError | str) -> None:
    """Tell the user of a mistake."""
    VOICE.log(MISTAKE, str(error))


def coloured(text: str, colour: int | None, stream: TextIO) -> str:
    """Colour a text where a terminal shows it, and nobody asked for none (https://no-color.org)."""
    plain = colour is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\x1b[{colour}m{text}\x1b[0m"


class Shown(logging.Handler):
    """Prints what is said at once: results to standard output, all else as lines to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        text = record.getMessage()
        if record.levelno == RESULT:
            print(text, flush=True)
        else:
            print(coloured(f"pixelherd: {text}", COLOURS.get(record.levelno), sys.stderr), file=sys.stderr, flush=True)


if not VOICE.handlers:
    VOICE.addHandler(Shown())
    VOICE.setLevel(PASSING)
    VOICE.propagate = False
