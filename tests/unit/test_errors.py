"""The line that a user reads."""

import pytest

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
