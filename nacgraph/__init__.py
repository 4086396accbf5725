"""nacgraph: circuits of attentive modules whose wiring is learned, on PyTorch Geometric.

Importing the package is light. The names below load their file when first used; plotting,
Lightning and graspologic are imported only by the commands and functions that need them.
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
    from nacgraph.graph.design import CircuitDesign as CircuitDesign
    from nacgraph.graph.kernel import SignatureKernel as SignatureKernel
    from nacgraph.models.config import NACConfig as NACConfig
    from nacgraph.models.config import TransformerConfig as TransformerConfig
    from nacgraph.models.nac import NAC as NAC
    from nacgraph.models.transformer import Transformer as Transformer
    from nacgraph.nn.blocks import Propagator as Propagator
    from nacgraph.nn.blocks import ReadIn as ReadIn
    from nacgraph.nn.blocks import ReadOut as ReadOut
    from nacgraph.nn.circuit import Circuit as Circuit
    from nacgraph.nn.generators import UnconditionalGenerator as UnconditionalGenerator
    from nacgraph.nn.modfc import ModFC as ModFC
    from nacgraph.nn.modfc import ModFFN as ModFFN
    from nacgraph.nn.skmdpa import SKMDPA as SKMDPA
    from nacgraph.training.run_config import RunConfig as RunConfig

_HOME = {  # public name: the file that defines it
    "CircuitDesign": "graph.design",
    "ModFC": "nn.modfc",
    "ModFFN": "nn.modfc",
    "SignatureKernel": "graph.kernel",
    "SKMDPA": "nn.skmdpa",
    "ReadIn": "nn.blocks",
    "Propagator": "nn.blocks",
    "ReadOut": "nn.blocks",
    "Circuit": "nn.circuit",
    "UnconditionalGenerator": "nn.generators",
    "NACConfig": "models.config",
    "NAC": "models.nac",
    "TransformerConfig": "models.config",
    "Transformer": "models.transformer",
    "RunConfig": "training.run_config",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nacgraph' has no attribute {name!r}")
    value = getattr(import_module(f"nacgraph.{_HOME[name]}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
