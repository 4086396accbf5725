r"""Edges drawn from signatures in O(E + block · N) memory, exact in distribution.

In logit space a link exists iff :math:`1 - u < q`, u uniform, with

.. math:: q = \sigma(\mathrm{logit} P - \tau\,\mathrm{logit} w)
    = \frac{o}{o + e^{(1 - \cos)/\varepsilon} - 1}, \quad o = \Big(\frac{1 - w}{w}\Big)^\tau

where w is ``min_weight`` in mode ``concrete`` and 1/2 in mode ``hard`` (o = 1, q = P). Most pairs
are far apart and hardly ever link, so they are not drawn one by one:

- *Near* pairs, those with cos >= cut, draw 1 - u each. All others have q < q(cut) = rate. Among
  them, candidates come from geometric skips along the row, each pair being one with probability
  ``rate``; a candidate's 1 - u is uniform below ``rate``, and it links if 1 - u < q. Where the cut
  lies changes the work and not the distribution.
- A matrix product in bf16 gives every cosine to within a known error. It only rules pairs out: a
  pair that may link gets its cosine again in full precision, and that one decides.
- Numbers are hashes of (seed, graph, receiver, sender or draw): blocks and threads do not matter.
"""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nacgraph.graph.edges import Edges
from nacgraph.graph.links import check_mode
from nacgraph.ops.numba.sampling import LANES, bounds, choose_cut, draw_block
from nacgraph.ops.threads import spread

_BLOCK = 1 << 21  # cosines a thread holds at once: 4 MB in bf16
_FEW = 1 << 17  # cosines that one thread is done with before a second one has started


def sample_edges(
    receivers: Tensor | np.ndarray,
    senders: Tensor | np.ndarray,
    bandwidth: float,
    temperature: float,
    min_weight: float,
    mode: str,
    seed: int,
    loops: bool,
    graphs: int | None = None,
    *,
    block: int | None = None,
    share: tuple[int, int] = (0, 1),
) -> Edges:
    """Draw the edges that :class:`~nacgraph.graph.kernel.SignatureKernel` draws, in O(E) memory.

    Args:
        receivers: Signatures of unit length; no gradient passes here.
        senders: Signatures of unit length.
        bandwidth: ε > 0, finite: the complete graph is not for compressed rows.
        temperature: τ > 0.
        min_weight: An edge of lower weight is none (modes ``concrete`` and ``expected``).
        mode: One of :data:`nacgraph.graph.links.MODES`.
        seed: Of the noise, at least 0; its lowest 64 bits count.
        loops: Modules link among themselves and every self-link exists. Otherwise a receiver
            without any sender keeps its most probable one.
        graphs: Draw this many independent graphs from shared signatures.
        block: Receivers a thread handles at once; changes memory and time, not the result.
        share: (rank, world): these are graphs ``rank::world`` of a larger batch.

    Shapes:
        receivers (R, S) or (B, R, S) · senders (N, S) or (B, N, S)

    Raises:
        ValueError: Names the argument, what was expected and what came.
    """
    _check_numbers(bandwidth, temperature, min_weight, seed, block)
    check_mode(mode)
    receivers, senders = _signatures("receivers", receivers), _signatures("senders", senders)
    _check_shapes(receivers, senders, loops, graphs)
    if receivers.dim() == 3:
        samples: int | None = len(receivers)
        copies = 1
    else:
        samples, copies = graphs, 1 if graphs is None else graphs
        receivers, senders = receivers[None], senders[None]
    rule = _rule(bandwidth, temperature, min_weight, mode)
    num, others, width = receivers.shape[1], *senders.shape[1:]
    error = 3.2 * 2.0**-8 + width * 2.0**-22  # of a bf16 product of unit vectors, kept in bf16
    table = bounds(*rule, error)
    rows, columns = receivers.numpy(), senders.numpy()
    cuts = [choose_cut(r, s, loops, *rule, error) for r, s in zip(rows, columns, strict=True)]
    key = np.uint64(seed & (2**64 - 1))

    padded = -(-others // LANES) * LANES
    padding = senders.new_zeros(len(senders), padded - others, width)
    product = _CoarseProduct(receivers, torch.cat([senders, padding], 1))
    block = min(num, block or max(16, min(256, _BLOCK // padded)))
    firsts = range(0, num, block)
    drawn: dict[tuple[int, int], tuple[np.ndarray, ...]] = {}
    local = threading.local()

    def numbered(graph: int) -> np.uint64:
        return np.uint64(graph if samples is None else share[0] + graph * share[1])

    def work(start: int, stop: int) -> None:
        if not hasattr(local, "buffers"):
            size = block * others
            local.buffers = np.empty(size, np.int32), np.empty(size * rule.noisy, np.float32)
            local.product = torch.empty(block, padded, dtype=torch.bfloat16)
        sender, noise = local.buffers
        for task in range(start, stop):
            b, first = task // len(firsts), firsts[task % len(firsts)]
            cosine = product(b, first, min(first + block, num), local.product)
            for graph in range(b * copies, (b + 1) * copies):
                degree = np.empty(len(cosine), np.int64)
                place = (cosine, rows[b], columns[b], first, loops, key, numbered(graph))
                end = draw_block(*place, *rule, cuts[b], error, table, degree, sender, noise)
                drawn[graph, first] = degree, sender[:end].copy(), noise[:end].copy()

    tasks = len(rows) * len(firsts)
    spread(work, tasks, worth_threads=len(rows) * copies * num * others > _FEW)
    ordered = [drawn.pop(at) for at in sorted(drawn)]
    degree, sender, noise = map(np.concatenate, zip(*ordered, strict=True))
    rowptr = np.zeros(len(degree) + 1, np.int64)
    np.cumsum(degree, out=rowptr[1:])
    parts = [torch.from_numpy(part) for part in (rowptr, sender, noise)]
    return Edges(parts[0], parts[1], parts[2] if rule.noisy else None, num, others, samples, loops)


class _Rule(NamedTuple):
    """When a pair links; the arguments the compiled loops share."""

    bandwidth: float
    odds: float  # o, or unused without noise
    least: float  # without noise: the least log P of an edge
    noisy: bool
    strict: bool  # without noise: log P must exceed the least


def _rule(bandwidth: float, temperature: float, min_weight: float, mode: str) -> _Rule:
    if mode == "threshold":
        return _Rule(bandwidth, 1.0, math.log(0.5), False, True)
    log_weight = math.log(min_weight) if min_weight > 0 else -math.inf
    if mode == "expected":
        return _Rule(bandwidth, 1.0, log_weight, False, False)
    logit = log_weight - math.log1p(-min_weight) if mode == "concrete" else 0.0
    exponent = -temperature * logit
    return _Rule(bandwidth, math.exp(exponent) if exponent < 700 else math.inf, 0.0, True, False)


class _CoarseProduct:
    """Cosines of a block of receivers, in bf16, as int16 patterns."""

    def __init__(self, receivers: Tensor, senders: Tensor) -> None:
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
        self._dtype = torch.bfloat16 if supported else torch.float32
        self._receivers = receivers.to(self._dtype)
        self._senders = senders.to(self._dtype).transpose(1, 2)

    def __call__(self, sample: int, first: int, last: int, out: Tensor) -> np.ndarray:
        out = out[: last - first]
        with torch.autocast("cpu", enabled=False), torch.no_grad():
            factors = self._receivers[sample, first:last], self._senders[sample]
            if self._dtype == out.dtype:
                torch.mm(*factors, out=out)
            else:
                out.copy_(torch.mm(*factors))
        return out.view(torch.int16).numpy()


def _signatures(name: str, signatures: Tensor | np.ndarray) -> Tensor:
    tensor = torch.as_tensor(signatures).detach()
    if tensor.dim() not in (2, 3) or tensor.shape[-2] == 0 or tensor.shape[-1] == 0:
        wanted = "(nodes, S) or (samples, nodes, S), none of them 0"
        raise ValueError(f"{name}: expected shape {wanted}, got {tuple(tensor.shape)}")
    if tensor.device.type != "cpu" or not tensor.is_floating_point():
        raise ValueError(
            f"{name}: expected floating point on the CPU, got {tensor.dtype} on {tensor.device}"
        )
    tensor = tensor.to(torch.promote_types(tensor.dtype, torch.float32)).contiguous()
    longest = float(torch.linalg.vector_norm(tensor, dim=-1).max())
    if not longest <= 1.01:  # bf16 rounds so far; NaN is refused, zeros are not
        raise ValueError(f"{name}: expected vectors of unit length, got length {longest}")
    return tensor


def _check_numbers(
    bandwidth: float, temperature: float, min_weight: float, seed: int, block: int | None
) -> None:
    if not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth: expected a finite number > 0, got {bandwidth}")
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number > 0, got {temperature}")
    if not 0 <= min_weight < 1:
        raise ValueError(f"min_weight: expected a number in [0, 1), got {min_weight}")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed: expected an integer >= 0, got {seed!r}")
    if block is not None and block < 1:
        raise ValueError(f"block: expected at least 1, got {block}")


def _check_shapes(receivers: Tensor, senders: Tensor, loops: bool, graphs: int | None) -> None:
    fits = receivers.dim() == senders.dim() and receivers.shape[-1] == senders.shape[-1]
    if not fits or receivers.dtype != senders.dtype or receivers.shape[:-2] != senders.shape[:-2]:
        raise ValueError(
            f"senders: expected the receivers' samples, width and type {tuple(receivers.shape)} "
            f"{receivers.dtype}, got {tuple(senders.shape)} {senders.dtype}"
        )
    if loops and receivers.shape != senders.shape:
        raise ValueError(
            "loops: expected as many senders as receivers, "
            f"got {senders.shape[-2]} for {receivers.shape[-2]}"
        )
    wanted = len(receivers) if receivers.dim() == 3 else None
    if graphs is not None and (graphs < 1 or graphs != (wanted or graphs)):
        raise ValueError(f"graphs: expected {wanted or 'at least 1'} or None, got {graphs}")
