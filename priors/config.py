"""Which prior pulls at a circuit, and how hard; reading this file needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from nacgraph.utils.choices import LOSSES, MATCHINGS
from nacgraph.utils.fields import check_fields, option
from nacgraph.utils.registry import Registry

if TYPE_CHECKING:
    from nacgraph.priors.base import GraphPrior

PRIORS: Registry[GraphPrior] = Registry(
    "prior",
    "nacgraph.priors",
    {
        "erdos_renyi": "nacgraph.priors.families:ErdosRenyi",
        "none": "nacgraph.priors.families:NonePrior",
        "planted_partition": "nacgraph.priors.families:PlantedPartition",
        "ring_of_cliques": "nacgraph.priors.families:RingOfCliques",
        "scale_free": "nacgraph.priors.families:ScaleFree",
        "watts_strogatz": "nacgraph.priors.families:WattsStrogatz",
    },
)


@dataclass(frozen=True)
class PriorConfig:
    """A graph prior by name, and how it pulls at a circuit; each field says what it is.

    Raises:
        ConfigError: Names every field that is wrong, what was expected and what it got.

    Example:
        >>> PriorConfig.of({"name": "ring_of_cliques", "clique_size": 8}).parameters
        {'clique_size': 8}
    """

    name: str = option("ring_of_cliques", "graph prior; see `nacgraph prior list`")
    parameters: dict[str, Any] = option({}, "parameters of the prior")
    weight: float = option(1.0, "weight of the prior's loss", low=0)
    loss: str = option("mse", "distance between links and prior", choices=LOSSES)
    matching: str = option("iterated", "how modules are matched to the prior's", choices=MATCHINGS)
    match_every: int = option(10, "steps between matchings", low=1)

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def of(cls, value: PriorConfig | str | Mapping[str, Any]) -> PriorConfig:
        """From a name, or a mapping of fields and of the prior's own parameters."""
        if isinstance(value, PriorConfig):
            return value
        if isinstance(value, str):
            return cls(value)
        own = {f.name for f in fields(cls)}
        parameters = {k: v for k, v in value.items() if k not in own}
        given = {k: v for k, v in value.items() if k in own}
        return cls(**{**given, "parameters": {**given.get("parameters", {}), **parameters}})

    def as_dict(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)
