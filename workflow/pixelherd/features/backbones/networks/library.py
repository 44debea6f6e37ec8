"""The transformers library, which not every installation has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pixelherd.errors import UserError


@contextmanager
def transformers(what: str) -> Iterator[Any]:
    """Give the transformers library, silent, to load a network with.

    Args:
        what: needs it, for the message.

    Raises:
        UserError: it is not installed.
    """
    try:
        import transformers as library
    except ImportError:
        mend = "pip install 'pixelherd[encoders]'"
        raise UserError(f"{what} need the transformers library", remedy=mend) from None
    told = library.logging.get_verbosity()
    library.logging.disable_progress_bar()
    library.logging.set_verbosity_error()  # else it prints what checkpoints of whole models have besides
    try:
        yield library
    finally:
        library.logging.set_verbosity(told)


def reason_of(error: Exception) -> str:
    """Return what an error of a library says, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
