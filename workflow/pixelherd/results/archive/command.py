"""The commands `pixelherd archive`, `unpack` and `repeats`, which need no Snakemake."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pixelherd.errors import UserError, show
from pixelherd.results.archive import carried, packed
from pixelherd.results.archive.card import card
from pixelherd.results.archive.repeats import in_words, repeats
from pixelherd.storage.records import found_in
from pixelherd.study.paths import RECORD


def run(name: str, arguments: Sequence[str]) -> None:
    """Carry out one of ``COMMANDS`` with what follows it on the command line.

    Raises:
        UserError: a folder is not what it must be.
        SystemExit: arguments are lacking, or asked to be explained.
    """
    COMMANDS[name](list(arguments))


def read(folder: Path) -> carried.Runs:
    """Read the runs of a folder of results, or of an archive.

    Raises:
        UserError: it is neither, or damaged.
    """
    return packed.read_archive(folder) if packed.is_archive(folder) else carried.read_results(folder)


def archive(arguments: list[str]) -> None:
    """Pack the finished runs of one or several folders of results, or archives, into one archive."""
    parser = argparse.ArgumentParser("pixelherd archive", description=archive.__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="folders of results, or archives")
    parser.add_argument("archive", type=Path, help="folder that becomes the archive")
    parser.add_argument("--notes", type=Path, help="Markdown for the data card: licences of the data, limits")
    parser.add_argument("--study", default="", help="the study file that the data card shall name")
    given = parser.parse_args(arguments)
    runs = carried.merge((folder, read(folder)) for folder in given.results)
    records = [found for folder in given.results if "source_sha256" in (found := found_in(folder / RECORD))]
    record = records[0] if len(given.results) == len(records) == 1 else None
    text = card(runs, given.archive.as_posix(), notes_in(given.notes), record, given.study)
    packed.write_archive(runs, given.archive, text)
    size = sum(path.stat().st_size for path in given.archive.iterdir())
    show(f"{given.archive}: {len(runs):,} runs in {size / 1e6:.2f} MB; its data card is {given.archive / packed.CARD}")


def notes_in(path: Path | None) -> str:
    """Return the text of the notes; nothing where there are none.

    Raises:
        UserError: they cannot be read.
    """
    if path is None:
        return ""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error})", remedy="name a Markdown file") from None


def unpack(arguments: list[str]) -> None:
    """Put the runs of one or several archives into a folder of results, beside those that it has."""
    parser = argparse.ArgumentParser("pixelherd unpack", description=unpack.__doc__)
    parser.add_argument("archives", nargs="+", type=Path, help="archives, or folders of results")
    parser.add_argument("results", type=Path, help="folder of results, as the study names it under `results`")
    given = parser.parse_args(arguments)
    runs = carried.merge((folder, read(folder)) for folder in given.archives)
    fresh = carried.write_results(runs, given.results)
    show(f"{given.results}: {fresh:,} runs unpacked, {len(runs) - fresh:,} were there")


def compare(arguments: list[str]) -> None:
    """Compare the same runs made twice: how many agree byte for byte, and how far the others differ."""
    parser = argparse.ArgumentParser("pixelherd repeats", description=compare.__doc__)
    parser.add_argument("first", type=Path, help="folder of results, or archive")
    parser.add_argument("second", type=Path, help="another one")
    given = parser.parse_args(arguments)
    show(in_words(repeats(read(given.first), read(given.second)), given.first, given.second))


COMMANDS = {"archive": archive, "unpack": unpack, "repeats": compare}
