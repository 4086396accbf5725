"""YAML as people mean it: ``yes`` and ``no`` are words, ``1e-3`` is a number, ``1:30`` a text.

PyYAML reads YAML 1.1, where they are booleans, a text and 90. Here values are those of YAML 1.2's
core schema, except that a number with a leading zero stays a text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

DEPTH = 50  # of nested brackets or mappings; deeper ones would exhaust the stack
SIZE = 1 << 20  # values
_VALUES = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):  # without the resolvers of YAML 1.1
    yaml_implicit_resolvers = {}  # noqa: RUF012


for _tag, _pattern, _first in _VALUES:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


class _Dumper(yaml.SafeDumper):
    """Mappings line by line, lists within a line; quotes what either YAML takes for no text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9.]+[eE][-+]?[0-9]+$"), list("-+.0123456789")
)
_Dumper.add_representer(
    list, lambda d, data: d.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)


def load(text: str) -> Any:
    """The plain values in a YAML text.

    Raises:
        ValueError: If it is not YAML, is nested too deeply or, by its aliases, too large.

    Example:
        >>> load("{a: [yes, no, 1e-3], b: true}")
        {'a': ['yes', 'no', 0.001], 'b': True}
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {}, 0)
        return loader.construct_document(node)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    except (TypeError, AttributeError, KeyError) as error:  # of tags that do not fit their value
        raise ValueError(f"expected plain values ({error})") from error


def _size(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Values below a node, those behind an alias counted wherever it stands."""
    if depth > DEPTH:  # also of a list that holds itself
        raise ValueError(f"expected at most {DEPTH} levels, got more")
    if id(node) not in known:
        below = node.value if isinstance(node, yaml.CollectionNode) else ()
        pairs = isinstance(node, yaml.MappingNode)
        nodes = [each for pair in below for each in (pair if pairs else (pair,))]
        known[id(node)] = 1 + sum(_size(each, known, depth + 1) for each in nodes)
    if known[id(node)] > SIZE:
        raise ValueError(f"expected at most {SIZE:,} values, got more")
    return known[id(node)]


def dump(value: Any) -> str:
    """The YAML text of plain values, in the order that they have."""
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=96,
    )
    return str(text)
