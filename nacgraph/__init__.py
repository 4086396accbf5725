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
    from nacgraph.attention import SKMDPA as SKMDPA
    from nacgraph.blocks import Propagator as Propagator
    from nacgraph.blocks import ReadIn as ReadIn
    from nacgraph.blocks import ReadOut as ReadOut
    from nacgraph.circuit import Circuit as Circuit
    from nacgraph.design import CircuitDesign as CircuitDesign
    from nacgraph.generators import UnconditionalGenerator as UnconditionalGenerator
    from nacgraph.kernel import SignatureKernel as SignatureKernel
    from nacgraph.model import NAC as NAC
    from nacgraph.model import NACConfig as NACConfig
    from nacgraph.modfc import ModFC as ModFC
    from nacgraph.modfc import ModFFN as ModFFN
    from nacgraph.transformer import Transformer as Transformer
    from nacgraph.transformer import TransformerConfig as TransformerConfig

_HOME = {  # public name: the file that defines it
    "CircuitDesign": "design",
    "ModFC": "modfc",
    "ModFFN": "modfc",
    "SignatureKernel": "kernel",
    "SKMDPA": "attention",
    "ReadIn": "blocks",
    "Propagator": "blocks",
    "ReadOut": "blocks",
    "Circuit": "circuit",
    "UnconditionalGenerator": "generators",
    "NACConfig": "model",
    "NAC": "model",
    "TransformerConfig": "transformer",
    "Transformer": "transformer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nacgraph' has no attribute {name!r}")
    value = getattr(import_module(f"nacgraph.{_HOME[name]}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
