"""JSON of others is read as what it must be, or the place is named in one line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.errors import UserError
from pixelherd.storage.entries import Entry

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
READERS = {
    "text": lambda found: isinstance(found, str),
    "texts": lambda found: all(isinstance(each, str) for each in found),
    "identifier": lambda found: isinstance(found, str),
    "whole": lambda found: isinstance(found, int) and found >= 0,
    "number": math.isfinite,
    "numbers": lambda found: all(map(math.isfinite, found)),
    "entry": lambda found: isinstance(found, Entry),
}


@pytest.mark.parametrize("reader", READERS)
@given(value=JSON)
def test_a_field_is_what_it_is_read_as_or_a_mistake(reader, value):
    try:
        found = getattr(Entry({"key": value}, "file.json", "task 1"), reader)("key")
    except UserError as mistake:
        assert str(mistake).startswith("file.json: task 1, key: must be ") and "\n" not in str(mistake)
    else:
        assert READERS[reader](found)


@pytest.mark.parametrize("reader", READERS)
def test_a_field_that_is_not_there_is_a_mistake(reader):
    with pytest.raises(UserError, match=r"^file.json: key: must be .*, found None; write the file again"):
        getattr(Entry({}, "file.json"), reader)("key")


def test_objects_of_a_list_are_called_by_their_ids_or_places():
    entry = Entry({"tasks": [{"id": 7}, {"id": "a"}, {"id": [1]}, {}], "none": None, "some": [[]]}, "file.json")
    assert [each.place for each in entry.entries("tasks", "task")] == ["task 7", "task a", "task 3", "task 4"]
    assert entry.entries("none", "task") == entry.entries("absent", "task") == []
    with pytest.raises(UserError, match=r"file.json: part 1: must be an object, found \[\]"):
        entry.entries("some", "part")
