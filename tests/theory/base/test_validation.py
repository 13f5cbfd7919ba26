"""Messages name the argument, the value and what is expected, in one line that is not too long."""

import pytest

from lastiterate.theory.base.validation import InputError


@pytest.mark.parametrize("length", [10, 159, 160, 161, 10_000])
def test_a_message_keeps_both_ends_of_a_long_value(length):
    value = "start" + "x" * length + "\nrecord 21"
    text = str(InputError("path", value, "a whole file"))
    assert text.startswith("path: expected a whole file, got start")
    assert text.endswith("record 21")
    assert len(text) < 220
    assert "\n" not in text
