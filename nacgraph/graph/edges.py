"""Edges in compressed rows, and their weights log K, differentiable in the signatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from nacgraph.graph.links import check_mode, logit
from nacgraph.ops.numba.edges import dots, gather, transpose
from nacgraph.ops.threads import spread

_RUN = 1 << 17  # multiplications of one run of rows; a thread is worth a few of them


@dataclass(frozen=True)
class Edges:
    """Who listens to whom, as compressed rows: the senders of one receiver lie side by side.

    Row b·R + i holds the senders of receiver i in graph b, in ascending order.

    Attributes:
        rowptr: Where each row starts, int64 (B·R + 1,).
        sender: Senders, numbered from 0 within their graph, int32 (E,).
        noise_logit: logit u of each edge, fp32 (E,), 0 at self-links; ``None`` without noise.
        num_receivers: R, receivers of one graph.
        num_senders: N, senders of one graph.
        graphs: B, or ``None`` for one graph shared by the batch.
        self_links: Every (i, i) is an edge, of weight one.
    """

    rowptr: Tensor
    sender: Tensor
    noise_logit: Tensor | None
    num_receivers: int
    num_senders: int
    graphs: int | None
    self_links: bool

    @property
    def num_edges(self) -> int:
        return self.sender.numel()

    @cached_property
    def receiver(self) -> Tensor:
        """Receivers, numbered from 0 within their graph, int32 (E,)."""
        rows = torch.arange(self.rowptr.numel() - 1, dtype=torch.int32) % self.num_receivers
        return rows.repeat_interleave(self.rowptr.diff(), output_size=self.num_edges)

    @cached_property
    def own(self) -> Tensor | None:
        """True at the self-links, (E,); ``None`` where there are none."""
        return self.receiver == self.sender if self.self_links else None

    @cached_property
    def by_sender(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same edges sorted by graph and sender, receivers ascending.

        Returns:
            colptr int64 (B·N + 1,), receiver int32 (E,), and int64 (E,): which edge each one is.
        """
        arrays = transpose(
            self.rowptr.numpy(), self.sender.numpy(), self.num_receivers, self.num_senders
        )
        colptr, receiver, edge = (torch.from_numpy(array) for array in arrays)
        return colptr, receiver, edge


def edge_log_weights(
    receivers: Tensor,
    senders: Tensor,
    edges: Edges,
    bandwidth: float,
    temperature: float,
    mode: str,
) -> Tensor:
    r"""Log weights of edges, with gradient to the signatures and nothing of size R × N.

    .. math:: \log K = \mathrm{logsigmoid}((\mathrm{logit} P + \mathrm{logit} u) / \tau),
        \quad \log P = -(1 - \cos(s_i, s_j)) / \varepsilon

    Mode ``hard`` gives 0 with the gradient of log K, ``expected`` log P, ``threshold`` 0 without
    gradient. A self-link weighs 0 and carries no gradient.

    Args:
        receivers: Signatures of unit length.
        senders: Signatures of unit length.
        edges: As drawn by :func:`nacgraph.graph.sampling.sample_edges` from these signatures.
        bandwidth: ε.
        temperature: τ.
        mode: One of :data:`nacgraph.graph.links.MODES`.

    Shapes:
        receivers (R, S) or (B, R, S) · senders (N, S) or (B, N, S) · output (E,), at least fp32

    Raises:
        ValueError: If signatures and edges do not belong together, or the mode needs noise that
            the edges do not have.
    """
    check_mode(mode)
    _check_match("receivers", receivers, edges.num_receivers, edges.graphs)
    _check_match("senders", senders, edges.num_senders, edges.graphs)
    if receivers.dim() != senders.dim() or receivers.shape[-1] != senders.shape[-1]:
        raise ValueError(
            f"senders: expected the axes and width of receivers {tuple(receivers.shape)}, "
            f"got {tuple(senders.shape)}"
        )
    wide = torch.promote_types(receivers.dtype, torch.float32)
    if mode == "threshold":
        return torch.zeros(edges.num_edges, dtype=wide)
    cosine = _EdgeCosine.apply(receivers.to(wide), senders.to(wide), edges)
    log_weight = -(1 - cosine).clamp_min(0) / bandwidth
    if mode != "expected":
        if edges.noise_logit is None:
            raise ValueError(f"edges: expected edges with noise, since mode is {mode!r}, got none")
        log_weight = F.logsigmoid((logit(log_weight) + edges.noise_logit.to(wide)) / temperature)
    if edges.own is not None:
        log_weight = log_weight.masked_fill(edges.own, 0.0)
    return log_weight - log_weight.detach() if mode == "hard" else log_weight


class _EdgeCosine(Function):
    """Scalar product of the two signatures of every edge.

    Every output row is summed by one thread in the order of its edges (for the senders'
    gradient, of the edges sorted by sender), so the number of threads changes no bit.
    """

    @staticmethod
    def forward(ctx, receivers: Tensor, senders: Tensor, edges: Edges) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(receivers, senders)
        ctx.edges = edges
        cosine = receivers.new_empty(edges.num_edges)
        arrays = (_rows(receivers), _rows(senders), edges.rowptr.numpy(), edges.sender.numpy())
        sizes = (edges.num_receivers, edges.num_senders, receivers.dim() == 3)
        _over_rows(
            lambda first, last: dots(*arrays, *sizes, first, last, cosine.numpy()),
            arrays[2],
            receivers.shape[-1],
        )
        return cosine

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[no-untyped-def]
        receivers, senders = ctx.saved_tensors
        edges: Edges = ctx.edges
        gradient = gradient.contiguous()
        to_receivers = to_senders = None
        if ctx.needs_input_grad[0]:
            to_receivers = _pull(gradient, senders, edges.rowptr, edges.sender, receivers)
        if ctx.needs_input_grad[1]:
            colptr, receiver, edge = edges.by_sender
            to_senders = _pull(gradient[edge], receivers, colptr, receiver, senders)
        return to_receivers, to_senders, None


def _pull(factor: Tensor, source: Tensor, pointer: Tensor, index: Tensor, like: Tensor) -> Tensor:
    """out[i] = Σ of factor_e · source[index_e] over the edges e of i, summed over the graphs."""
    out = torch.empty(like.shape, dtype=like.dtype)
    rows, ends = _rows(out), pointer.numpy()
    arrays = (factor.numpy(), _rows(source), ends, index.numpy())
    sizes = (like.shape[-2], source.shape[-2])
    _over_rows(
        lambda first, last: gather(*arrays, *sizes, first, last, rows),
        ends[: len(rows) + 1],  # with shared signatures the first graph stands for the others
        like.shape[-1],
    )
    return out


def _over_rows(work: Callable[[int, int], object], rowptr: np.ndarray, width: int) -> None:
    """Call ``work(first, last)`` on runs of rows with about as many edges each."""
    rows, edges = len(rowptr) - 1, int(rowptr[-1])
    runs = max(1, min(rows, edges * width // _RUN))
    ends = np.searchsorted(rowptr, np.linspace(0, edges, runs + 1)).tolist()
    ends[0], ends[-1] = 0, rows  # rows without edges included
    spread(lambda first, last: work(ends[first], ends[last]), runs, worth_threads=runs > 8)


def _rows(signatures: Tensor) -> np.ndarray:
    """(R, S) or (B, R, S) as an array of rows; shares memory where the tensor is contiguous."""
    return signatures.detach().reshape(-1, signatures.shape[-1]).contiguous().numpy()


def _check_match(name: str, signatures: Tensor, nodes: int, graphs: int | None) -> None:
    shape = tuple(signatures.shape)
    fits = len(shape) == 2 or (len(shape) == 3 and shape[0] == graphs)
    if not fits or shape[-2] != nodes:
        leading = "" if graphs is None else f" or ({graphs}, {nodes}, S)"
        raise ValueError(f"{name}: expected ({nodes}, S){leading} as the edges have, got {shape}")
