"""The line that a user reads."""

import io

import pytest

from pixelherd import errors
from pixelherd.errors import UserError


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a\nb", r"a\nb"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("nul\x00", r"nul\x00"),
        ("caf\udce9", r"caf\udce9"),
        ("\u2028line\u202e", r"\u2028line\u202e"),
        ("straße 日本", "straße 日本"),
    ],
)
def test_a_mistake_is_one_line_that_any_terminal_can_show(name, written):
    error = UserError(f"there is no {name}", remedy=f"give {name}")
    assert str(error) == f"there is no {written}; give {written}"
    str(error).encode()


def test_what_is_said_is_printed_by_its_kind(capsys):
    errors.say("look here")
    errors.mention("waiting")
    errors.complain(UserError("no folder", remedy="make it"))
    errors.show("a table")
    written = capsys.readouterr()
    assert written.out == "a table\n"
    assert written.err.splitlines() == [
        "pixelherd: look here",
        "pixelherd: waiting ...",
        "pixelherd: no folder; make it",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert errors.coloured("no", errors.RED, Terminal()) == "\x1b[31mno\x1b[0m"
    assert errors.coloured("no", errors.RED, io.StringIO()) == "no"
    assert errors.coloured("no", None, Terminal()) == "no"
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as other:
            other.setenv(name, value)
            assert errors.coloured("no", errors.RED, Terminal()) == "no"
