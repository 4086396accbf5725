"""Segment sums, maxima and softmax: torch_scatter where it is installed, PyTorch otherwise."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

torch_scatter: ModuleType | None = None
try:
    torch_scatter = import_module("torch_scatter")
except (ImportError, OSError):  # OSError: built against another torch
    pass


def scatter_sum(source: Tensor, index: Tensor, dim: int, size: int) -> Tensor:
    """Sum the slices of ``source`` along ``dim`` that share an index: (…, E, …) → (…, size, …)."""
    if torch_scatter is not None:
        return torch_scatter.scatter_sum(source, index, dim=dim, dim_size=size)
    shape = list(source.shape)
    shape[dim] = size
    return source.new_zeros(shape).index_add(dim, index, source)


def scatter_max(source: Tensor, index: Tensor, dim: int, size: int) -> Tensor:
    """Largest value of each segment, without gradient; an empty segment gives 0."""
    source = source.detach()
    if torch_scatter is not None:
        return torch_scatter.scatter_max(source, index, dim=dim, dim_size=size)[0]
    shape = list(source.shape)
    shape[dim] = size
    wide = index.view([-1 if d == dim % source.dim() else 1 for d in range(source.dim())])
    return source.new_zeros(shape).scatter_reduce(
        dim, wide.expand_as(source), source, "amax", include_self=False
    )


def scatter_softmax(source: Tensor, index: Tensor, dim: int, size: int) -> Tensor:
    """Softmax of ``source`` within each segment."""
    largest = scatter_max(source, index, dim, size).index_select(dim, index)
    exponential = torch.exp(source - largest)
    return exponential / scatter_sum(exponential, index, dim, size).index_select(dim, index)
