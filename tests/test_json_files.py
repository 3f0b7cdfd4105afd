"""JSON of unknown origin: what it stands for, or a line that says why not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlpa.errors import UserError
from atlpa.json_files import parse_json, read_json

REFUSED = {
    "not a number": ('{"a": NaN}', "'NaN' is no finite number"),
    "infinity": ('{"a": -Infinity}', "'-Infinity' is no finite number"),
    "beyond floats": ('{"a": 1e999}', "'1e999' is no finite number"),
    "5,000 digits": ('{"a": ' + "1" * 5_000 + "}", "an integer of 5000 digits"),
    "a key twice": ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is there twice"),
    "nested": ("[" * 33 + "]" * 33, "nested more than 32 deep"),
    "deeply nested": ("[" * 100_000 + "]" * 100_000, "nested more than 32 deep"),
    "never closed": ('{"a":' * 100_000, "nested more than 32 deep"),
    "half a sign": (r'{"a": "\ud800"}', "half a sign"),
    "half a sign in a key": (r'{"\udc00": 1}', "half a sign"),
    "empty": ("", "Expecting value"),
    "two values": ("1 2", "Extra data"),
    "a page": ("<!doctype html>", "Expecting value"),
    "cut off": ('{"a": [1, 2', "Expecting ',' delimiter"),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_names_the_file(tmp_path, text, why):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"a\.json is no readable record \({why}") as caught:
        read_json(path, "record")
    assert "\n" not in str(caught.value)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**38), 10**38)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


@settings(deadline=None)
@given(values)
def test_what_was_written_is_read_back(value):
    assert parse_json(json.dumps(value)) == value
