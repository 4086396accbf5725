"""YAML as people mean it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from nacgraph.utils.yaml12 import dump, load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[yes, no, on, off, y, N]", ["yes", "no", "on", "off", "y", "N"]),
        ("[true, False, null, ~, ]", [True, False, None, None]),
        ("[1, -2, 1e-3, 2.5E+4, .5, 1.]", [1, -2, 1e-3, 2.5e4, 0.5, 1.0]),
        ("[010, 1:30, 1_000, 0x1F, 2001-01-01]", ["010", "1:30", "1_000", "0x1F", "2001-01-01"]),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("", None),
    ],
)
def test_words_stay_words_and_numbers_are_numbers(text: str, value: Any) -> None:
    assert load(text) == value


def test_what_is_written_is_read_back_by_both_versions_of_yaml() -> None:
    value = {"a": ["yes", "1e3", "1e-3", "010", "1:30", "~", True, None, 1e-5, 1e16, "12"], "b": {}}
    assert load(dump(value)) == yaml.safe_load(dump(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 60 + "]" * 60, "[" * 20000, "a: &a [*a]", "a: !!python/object:os.system x"),
        *("a: !!timestamp x", "a: !!int x", "a: " + "9" * 5000, "{[1]: 2}", "a: \0", "{"),
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9)),
    ],
)
def test_what_is_no_plain_value_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        load(text)
