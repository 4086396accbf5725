"""A running mean of the weights, which often answers better than the weights of any one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    r"""Exponential moving average of a model's learning parameters.

    .. math:: \bar w_n = d_n\,\bar w_{n-1} + (1 - d_n)\,w_n, \qquad
              d_n = \min\left(d, \frac{1 + n}{10 + n}\right)

    after step n. Early steps count less long, so that the start is soon forgotten.

    Args:
        model: Whose parameters are averaged.
        decay: d, in [0, 1).

    Source: Polyak & Juditsky (1992) for averaging; the warm-up of d is common practice.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._own = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._mean = {n: p.detach().clone() for n, p in self._own.items()}

    def to(self, device: torch.device | str) -> None:
        """Keep the mean on ``device``, where the model is."""
        self._mean = {name: mean.to(device) for name, mean in self._mean.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self._mean.values()), list(self._own.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the model has the mean weights, and its own again after."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def keep(self) -> None:
        """Leave the model with the mean weights."""
        for name, p in self._own.items():
            p.copy_(self._mean[name])

    def state(self) -> dict[str, Tensor]:
        """The mean by parameter, and the number of updates, for a checkpoint."""
        return {**self._mean, "updates": torch.tensor(self.updates)}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up what :meth:`state` gave."""
        self.updates = int(state["updates"])
        for name, mean in self._mean.items():
            mean.copy_(state[name])

    @torch.no_grad()
    def _swap(self) -> None:
        for name, p in self._own.items():
            own = p.detach().clone()
            p.copy_(self._mean[name])
            self._mean[name].copy_(own)
