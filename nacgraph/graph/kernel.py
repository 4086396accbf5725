"""The signature kernel: from signatures to sampled graphs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.graph.forms import EdgeGraph, FullGraph, Graph, Rows, SampledGraph
from nacgraph.graph.links import (
    DEFAULT_BANDWIDTH,
    check_mode,
    concrete_log_sample,
    log_link_probabilities,
)

SAMPLED = ("concrete", "hard")  # those that draw noise
DRAW_EDGES = 2**18  # pairs from which edges are drawn without a tensor over all pairs


class SharedNoise(torch.Generator):
    """Noise for a process that has rows ``rank::world`` of a batch.

    It stands at the same place in every process. Graphs that all samples share get the same noise,
    and a sample's own graph the noise of its place in the whole batch: the number of processes
    changes no number.
    """

    rank = 0
    world = 1


class SignatureKernel(nn.Module):
    """Turns signatures into link probabilities and draws graphs from them.

    ========= ============================== ==========================================
    mode      a link exists where            its weight K
    ========= ============================== ==========================================
    expected  P ≥ min_weight                 P, no sampling
    concrete  K ≥ min_weight                 the concrete sample, soft
    hard      K > 0.5                        1, with the gradient of log K
    threshold P > 0.5                        1, no gradient; the rule for pictures
    ========= ============================== ==========================================

    Args:
        bandwidth: ε; the lowest probability any link can have is exp(-2/ε).
        temperature: τ of the concrete distribution.
        mode: One of :data:`nacgraph.graph.links.MODES`.
        min_weight: A link of lower weight is no edge.

    Raises:
        ValueError: Names the argument, what was expected and what came.

    Example:
        >>> kernel = SignatureKernel(mode="expected")
        >>> graph = kernel(torch.eye(3))  # orthogonal signatures link with probability 0.05
        >>> round(graph.probability[0, 1].item(), 4)
        0.05

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 2-3.
    """

    def __init__(
        self,
        bandwidth: float = DEFAULT_BANDWIDTH,
        temperature: float = 0.5,
        mode: str = "concrete",
        min_weight: float = 0.01,
    ) -> None:
        super().__init__()
        if not bandwidth > 0:
            raise ValueError(f"bandwidth: expected a number > 0, got {bandwidth}")
        if not temperature > 0:
            raise ValueError(f"temperature: expected a number > 0, got {temperature}")
        if not 0 <= min_weight < 1:
            raise ValueError(f"min_weight: expected a number in [0, 1), got {min_weight}")
        check_mode(mode)
        self.bandwidth = bandwidth
        self.temperature = temperature
        self.mode = mode
        self.min_weight = min_weight

    def extra_repr(self) -> str:
        return (
            f"bandwidth={self.bandwidth:.4g}, temperature={self.temperature}, "
            f"mode={self.mode!r}, min_weight={self.min_weight}"
        )

    def forward(
        self,
        receivers: Tensor,
        senders: Tensor | None = None,
        *,
        mode: str | None = None,
        generator: torch.Generator | None = None,
        graphs: int | None = None,
    ) -> Graph:
        """Draw the graph from senders to receivers.

        Args:
            receivers: Signatures (R, S) or (B, R, S).
            senders: Signatures (N, S) or (B, N, S); left out, modules link among themselves
                and every self-link exists. Given, a receiver without any link keeps its most
                probable one.
            mode: Overrides the kernel's own mode.
            generator: Source of the noise of the modes ``concrete`` and ``hard``; PyTorch's own
                if left out.
            graphs: Draw this many independent graphs from shared signatures (modes that draw
                nothing would give the same graph each time, and give it once).

        Raises:
            ValueError: On an unknown mode.
        """
        return self.draws(1, receivers, senders, mode=mode, generator=generator, graphs=graphs)[0]

    def draws(
        self,
        count: int,
        receivers: Tensor,
        senders: Tensor | None = None,
        *,
        mode: str | None = None,
        generator: torch.Generator | None = None,
        graphs: int | None = None,
    ) -> tuple[Graph, ...]:
        """``count`` independent draws of :meth:`forward`, over the same link probabilities.

        A mode that draws nothing gives the one graph that there is, once.
        """
        mode = self.mode if mode is None else mode
        check_mode(mode)
        among = senders is None
        others = receivers if senders is None else senders
        if self.bandwidth == math.inf or (mode == "expected" and self._weighs_all()):
            return (FullGraph(receivers, others, self.bandwidth, among),)
        if mode not in SAMPLED:
            count = 1
        if receivers.dim() == 3 or mode not in SAMPLED:
            graphs = None
        if self._draws_edges(receivers, others, graphs, _share(generator)[1]):
            rule = mode, generator, graphs, among
            return tuple(self._edges(receivers, others, *rule) for _ in range(count))
        log_p = log_link_probabilities(receivers, others, self.bandwidth, among)
        probability = log_p.exp()
        if graphs is not None:
            log_p = log_p.expand(graphs, -1, -1)
        return tuple(
            SampledGraph(probability, *self._sampled(log_p, mode, generator, among), nonempty=True)
            for _ in range(count)
        )

    def _sampled(
        self, log_p: Tensor, mode: str, generator: torch.Generator | None, among: bool
    ) -> tuple[Tensor, Tensor]:
        """Log weights and mask of a graph in which every receiver has a sender."""
        log_weight, mask = self._weigh(log_p, mode, generator)
        if among:
            own = torch.eye(log_p.shape[-1], dtype=torch.bool, device=log_p.device)
            return log_weight.masked_fill(own, 0.0), mask | own
        best = F.one_hot(log_p.argmax(-1), log_p.shape[-1]).bool()
        return log_weight, mask | (best & ~mask.any(-1, keepdim=True))

    def _weighs_all(self) -> bool:
        """Whether no link can be so improbable that ``min_weight`` cuts it."""
        return self.min_weight <= math.exp(-2 / self.bandwidth)

    def _draws_edges(
        self, receivers: Tensor, senders: Tensor, graphs: int | None, world: int
    ) -> bool:
        """Whether the pairs are so many that only edges are drawn, which the CPU can do."""
        each = receivers.shape[-2] * senders.shape[-2]
        own = len(receivers) if receivers.dim() == 3 else graphs
        pairs = each * (1 if own is None else own * world)  # of all processes, which choose alike
        # A compiler sees tensors of fixed shapes only.
        plain = receivers.device.type == "cpu" and not torch.compiler.is_compiling()
        return plain and pairs >= DRAW_EDGES

    def _edges(
        self,
        receivers: Tensor,
        senders: Tensor,
        mode: str,
        generator: torch.Generator | None,
        graphs: int | None,
        among: bool,
    ) -> EdgeGraph:
        # Compiled code, imported where it is needed.
        from nacgraph.graph.edges import edge_log_weights
        from nacgraph.graph.sampling import sample_edges

        seed = 0
        if mode in SAMPLED:
            place = None if generator is None else generator.device
            seed = int(torch.randint(2**62, (), generator=generator, device=place))
        with torch.autocast("cpu", enabled=False):
            wide = torch.promote_types(receivers.dtype, torch.float32)
            ours = F.normalize(receivers.to(wide), dim=-1)
            others = ours if among else F.normalize(senders.to(wide), dim=-1)
            rule = self.bandwidth, self.temperature
            share = _share(generator)
            edges = sample_edges(
                ours, others, *rule, self.min_weight, mode, seed, among, graphs, share=share
            )
            log_weight = edge_log_weights(ours, others, edges, *rule, mode)
        longest = int(edges.rowptr.diff().max())
        rows = Rows(edges.rowptr, edges.sender, log_weight, longest)
        return EdgeGraph(
            rows,
            edges.num_receivers,
            edges.num_senders,
            edges.graphs,
            receivers,
            senders,
            self.bandwidth,
            among,
            math.log(0.5) if mode == "concrete" else -math.inf,
        )

    def _weigh(
        self, log_p: Tensor, mode: str, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        if mode == "threshold":
            return torch.zeros_like(log_p), log_p > math.log(0.5)
        if mode == "expected":
            return log_p, log_p >= _log(self.min_weight)
        # Drawn where the generator lives, so that a seed means the same noise on every device.
        place = None if generator is None else generator.device
        shape, rank, world = list(log_p.shape), *_share(generator)
        if log_p.dim() == 3:
            shape[0] *= world
        noise = torch.rand(shape, generator=generator, device=place)
        if log_p.dim() == 3:
            noise = noise[rank::world]
        noise = noise.to(log_p).clamp_min(2.0**-25)  # rand may return 0 and never returns 1
        log_k = concrete_log_sample(log_p, noise, self.temperature)
        if mode == "hard":
            # Forward 1, backward the gradient of log K (straight-through).
            return log_k - log_k.detach(), log_k > math.log(0.5)
        return log_k, log_k >= _log(self.min_weight)


def _share(generator: torch.Generator | None) -> tuple[int, int]:
    """The rank of this process, and of how many."""
    return (generator.rank, generator.world) if isinstance(generator, SharedNoise) else (0, 1)


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf
