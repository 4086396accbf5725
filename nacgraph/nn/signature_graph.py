"""SignatureGraph: a graph that is learned with the layers that run on it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from nacgraph.graph.kernel import SignatureKernel
from nacgraph.graph.links import DEFAULT_BANDWIDTH, check_mode, link_probabilities


class LearnedEdges(NamedTuple):
    """Edges and their weights; unpacks as ``edge_index, log_weight``.

    Attributes:
        edge_index: Senders in row 0, receivers in row 1, (2, E).
        log_weight: log K of each edge, with gradient to the signatures, (E,).
    """

    edge_index: Tensor
    log_weight: Tensor

    @property
    def edge_weight(self) -> Tensor:
        """K in (0, 1], for convolutions that multiply messages by a weight, (E,)."""
        return self.log_weight.exp()


class SignatureGraph(nn.Module):
    r"""A learned graph on N nodes: each has a signature, and near signatures link.

    .. math:: P_{ij} = \exp(-(1 - \cos(s_i, s_j)) / \varepsilon)

    Every call gives edges and weights that any convolution takes, ``edge_weight`` for those that
    multiply (``GCNConv``, ``GraphConv``), ``log_weight`` for :class:`~nacgraph.nn.SKMDPAConv`.
    Through the weights the loss moves the signatures, and with them the edges. While training the
    edges are drawn by ``mode``, in evaluation they follow from ``eval_mode``; see
    :class:`~nacgraph.graph.kernel.SignatureKernel`.

    ``N·signature_dim`` parameters stand for ``N²`` links, which therefore cannot be chosen one by
    one: P is symmetric, and nodes that link to the same node are near each other.

    Args:
        num_nodes: Number of nodes N.
        signature_dim: Width S of the signatures; small ones make few groups, large ones learn
            links nearly one by one.
        bandwidth: ε; the lowest probability that a link can have is exp(-2/ε).
        mode: How edges come to be while training: expected, concrete, hard or threshold.
        eval_mode: The same in evaluation.
        temperature: τ of the concrete distribution.
        min_weight: A link of lower weight is no edge.
        self_loops: Whether every node has an edge to itself, of weight 1.
        generator: Source of the initial signatures; PyTorch's own if left out.

    Shapes:
        output: edge_index (2, E) · log_weight (E,)

    Raises:
        ValueError: Names the argument, what was expected and what came.

    Example:
        >>> from torch_geometric.nn import GCNConv
        >>> graph = SignatureGraph(num_nodes=50, signature_dim=8)
        >>> graph
        SignatureGraph(50, 8, bandwidth=0.3338, mode='concrete', eval_mode='expected')
        >>> edges = graph()
        >>> out = GCNConv(3, 4)(torch.randn(50, 3), edges.edge_index, edges.edge_weight)
        >>> out.sum().backward()
        >>> bool(graph.signatures.grad.any())
        True
        >>> edge_index, log_weight = graph()  # for nacgraph.nn.SKMDPAConv
        >>> graph.probability().shape
        torch.Size([50, 50])

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 2.
    """

    def __init__(
        self,
        num_nodes: int,
        signature_dim: int = 16,
        bandwidth: float = DEFAULT_BANDWIDTH,
        mode: str = "concrete",
        eval_mode: str = "expected",
        temperature: float = 0.5,
        min_weight: float = 0.01,
        self_loops: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("num_nodes", num_nodes), ("signature_dim", signature_dim)):
            if size < 1:
                raise ValueError(f"{name}: expected at least 1, got {size}")
        check_mode(eval_mode)
        self.num_nodes, self.signature_dim = num_nodes, signature_dim
        self.eval_mode = eval_mode
        self.self_loops = self_loops
        self.kernel = SignatureKernel(bandwidth, temperature, mode, min_weight)
        self.signatures = nn.Parameter(torch.empty(num_nodes, signature_dim))
        self.reset_parameters(generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new signatures, of about unit length."""
        with torch.no_grad():
            self.signatures.normal_(0.0, self.signature_dim**-0.5, generator=generator)

    def forward(
        self, mode: str | None = None, *, generator: torch.Generator | None = None
    ) -> LearnedEdges:
        """The edges of one graph.

        Args:
            mode: Overrides ``mode`` and ``eval_mode``.
            generator: Source of the noise of drawn edges; PyTorch's own if left out.
        """
        if mode is None:
            mode = self.kernel.mode if self.training else self.eval_mode
        generator = torch.default_generator if generator is None else generator
        edge_index, log_weight = self.kernel(
            self.signatures, mode=mode, generator=generator
        ).edges()
        if not self.self_loops:
            others = edge_index[0] != edge_index[1]
            edge_index, log_weight = edge_index[:, others], log_weight[others]
        return LearnedEdges(edge_index, log_weight)

    def probability(self) -> Tensor:
        """Link probabilities P (N, N), with gradient; the diagonal is 1.

        For :class:`nacgraph.priors.MatchedLoss`, or any other loss on the whole graph.
        """
        return link_probabilities(self.signatures, self.signatures, self.kernel.bandwidth)

    @torch.no_grad()
    def to_data(self, threshold: float = 0.5) -> Data:
        """Links above a probability, without self-loops: ``edge_index`` and ``edge_weight`` = P.

        ``torch_geometric.utils.to_networkx(graph.to_data(), edge_attrs=["edge_weight"],
        to_undirected=True)`` makes a NetworkX graph of it.
        """
        link = self.probability().fill_diagonal_(0.0)
        edge_index = (link > threshold).nonzero().T.contiguous()
        weight = link[edge_index[0], edge_index[1]]
        return Data(edge_index=edge_index, edge_weight=weight, num_nodes=self.num_nodes)

    def __repr__(self) -> str:
        return (
            f"SignatureGraph({self.num_nodes}, {self.signature_dim}, "
            f"bandwidth={self.kernel.bandwidth:.4g}, mode={self.kernel.mode!r}, "
            f"eval_mode={self.eval_mode!r})"
        )
