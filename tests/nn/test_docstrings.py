"""The examples in docstrings of nacgraph.nn and nacgraph.priors run and say what they print."""

from __future__ import annotations

import doctest
import inspect
from types import ModuleType

import pytest
import torch
from torch import nn

import nacgraph.nn
import nacgraph.priors
from nacgraph.nn import SignatureKernel

# Parts of a circuit, which make sense in one only.
IN_CIRCUITS = {"Attention", "BaseGenerator", "BasePropagator", "BaseReadIn", "Circuit"}


def examples(package: ModuleType) -> list[doctest.DocTest]:
    """Every docstring with an example, of every module that defines a public name."""
    files = {inspect.getmodule(getattr(package, name)) for name in package.__all__}
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for file in files
        if file is not None and file.__name__.startswith("nacgraph.")
        for test in finder.find(
            file, extraglobs={"torch": torch, "SignatureKernel": SignatureKernel}
        )
        if test.examples
    ]
    return sorted(found, key=lambda test: test.name)


@pytest.mark.parametrize(
    "example",
    [*examples(nacgraph.nn), *examples(nacgraph.priors)],
    ids=lambda example: example.name,
)
def test_the_example_prints_what_it_says(example: doctest.DocTest) -> None:
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=said.append)
    assert not runner.failures, "".join(said)


def test_every_public_layer_has_an_example() -> None:
    public = {name: getattr(nacgraph.nn, name) for name in nacgraph.nn.__all__}
    classes = {name: c for name, c in public.items() if inspect.isclass(c)}
    layers = {name: c for name, c in classes.items() if issubclass(c, nn.Module)}
    lacking = {name for name, c in layers.items() if "Example:" not in inspect.getdoc(c)}
    assert lacking <= IN_CIRCUITS, lacking - IN_CIRCUITS
