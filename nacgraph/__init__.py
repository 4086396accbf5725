"""nacgraph: circuits of attentive modules whose wiring is learned, on PyTorch Geometric.

::

    import nacgraph

    run = nacgraph.fit(task="listops", prior="ring_of_cliques", steps=200)  # train
    run.predict(["[MAX 2 9 [MIN 4 7 ] 0 ]"])                                # answer
    run.graph(threshold=0.5)                                                # look at the wiring

Importing the package is light. The names below load their file when first used; plotting,
Lightning and graspologic are imported only by the functions that need them.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# In a checkout, priors/, tasks/ and viz/ lie beside this package and not in it; pip maps them to
# nacgraph.priors, … on installing. Looking beside the package too lets the bare checkout run, and
# also a wheel whose user stands in the checkout, where this folder hides the installed package.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file():
    __path__.append(str(_checkout))

if TYPE_CHECKING:
    from nacgraph import analysis as analysis
    from nacgraph import nn as nn
    from nacgraph import priors as priors
    from nacgraph import tasks as tasks
    from nacgraph import viz as viz
    from nacgraph.graph.design import CircuitDesign as CircuitDesign
    from nacgraph.graph.kernel import SignatureKernel as SignatureKernel
    from nacgraph.models.config import NACConfig as NACConfig
    from nacgraph.models.config import TransformerConfig as TransformerConfig
    from nacgraph.models.nac import NAC as NAC
    from nacgraph.models.transformer import Transformer as Transformer
    from nacgraph.nn.circuit import Circuit as Circuit
    from nacgraph.nn.generators import UnconditionalGenerator as UnconditionalGenerator
    from nacgraph.nn.modfc import ModFC as ModFC
    from nacgraph.nn.modfc import ModFFN as ModFFN
    from nacgraph.nn.propagators import Propagator as Propagator
    from nacgraph.nn.read_in import ReadIn as ReadIn
    from nacgraph.nn.read_out import ReadOut as ReadOut
    from nacgraph.nn.skmdpa import SKMDPA as SKMDPA
    from nacgraph.training.fit import fit as fit
    from nacgraph.training.run import Run as Run
    from nacgraph.training.run import load as load
    from nacgraph.training.run_config import RunConfig as RunConfig

_HOME = {  # public name: the file that defines it
    "CircuitDesign": "graph.design",
    "ModFC": "nn.modfc",
    "ModFFN": "nn.modfc",
    "SignatureKernel": "graph.kernel",
    "SKMDPA": "nn.skmdpa",
    "ReadIn": "nn.read_in",
    "Propagator": "nn.propagators",
    "ReadOut": "nn.read_out",
    "Circuit": "nn.circuit",
    "UnconditionalGenerator": "nn.generators",
    "NACConfig": "models.config",
    "NAC": "models.nac",
    "TransformerConfig": "models.config",
    "Transformer": "models.transformer",
    "RunConfig": "training.run_config",
    "Run": "training.run",
    "fit": "training.fit",
    "load": "training.run",
}
_ROOMS = ("analysis", "nn", "priors", "tasks", "viz")  # public subpackages

__all__ = [
    "NAC",
    "SKMDPA",
    "Circuit",
    "CircuitDesign",
    "ModFC",
    "ModFFN",
    "NACConfig",
    "Propagator",
    "ReadIn",
    "ReadOut",
    "Run",
    "RunConfig",
    "SignatureKernel",
    "Transformer",
    "TransformerConfig",
    "UnconditionalGenerator",
    "analysis",
    "fit",
    "load",
    "nn",
    "priors",
    "tasks",
    "viz",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"nacgraph.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'nacgraph' has no attribute {name!r}")
    value = getattr(import_module(f"nacgraph.{_HOME[name]}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
