"""What a task is: batches to train and to evaluate on, a tokenizer, a loss, baselines."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_type_hints

import torch
from torch import Tensor, nn

from nacgraph.tasks.config import TASKS, plain
from nacgraph.utils.fields import problem


@dataclass(frozen=True)
class Batch:
    """Samples, and at the same place what belongs to each.

    Shapes:
        inputs (B, …), what the tokenizer reads: ids padded to one length (B, T) int64, images
        (B, channels, height, width), points (B, T, 3) … · mask (B, T) bool, True where an input
        is real, (B, 1) where inputs have no length · labels (B) int64 · index (B) int64, the row
        of each sample in its split · condition (B, N, …) and condition_mask (B, N) bool, what a
        conditional generator is given, None where a task has nothing for it · targets (B, C),
        shares of the classes in mixed samples, None where the labels say all
    """

    inputs: Tensor
    mask: Tensor
    labels: Tensor
    index: Tensor
    condition: Tensor | None = None
    condition_mask: Tensor | None = None
    targets: Tensor | None = None

    def __len__(self) -> int:
        return self.labels.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        return Batch(*(None if t is None else t.to(device) for t in self._tensors()))  # type: ignore[arg-type]

    def rows(self, which: slice | Tensor) -> Batch:
        """These samples only."""
        return Batch(*(None if t is None else t[which] for t in self._tensors()))  # type: ignore[arg-type]

    def _tensors(self) -> list[Tensor | None]:
        return [getattr(self, field.name) for field in fields(self)]


OF_THE_RUN = ("seed", "batch_size", "condition")
"""Parameters of a task's constructor that get what the run says."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a task: its type, default (``inspect.Parameter.empty``: none) and help."""

    name: str
    kind: Any
    default: Any
    help: str


class Task(ABC):
    """Data, input tokens, loss and baselines of one problem. It never sees a circuit.

    A subclass registered with ``@register_task("name")`` can be trained by name. The parameters
    of its constructor are the task's own, set by ``--task.KEY VALUE``; those called ``seed``,
    ``batch_size`` and ``condition`` get the run's (:data:`OF_THE_RUN`).

    Attributes:
        classes: A name for every class; None where they are numbers alone.
        token_names: A name for every kind of token, by id; None shows the ids.
        token_groups: Names of kinds that belong together, by a word that describes them; reports
            say which group a module reads.
        presets: Preset → fields of the run that this task sets otherwise, named as flags are;
            ``"task_set"`` holds parameters of the task.
        layouts: What ``data`` may be, a line each, for `nacgraph data list`.
        embedded: What is taken without ``data``, in a line; None where there is nothing.
        conditional: Whether there are conditioning tokens: then ``condition="auto"`` makes a
            circuit for every sample.
    """

    classes: Sequence[str] | None = None
    token_names: ClassVar[Sequence[str] | None] = None
    token_groups: ClassVar[Mapping[str, Sequence[str]]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    layouts: ClassVar[Sequence[str]] = ()
    embedded: ClassVar[str | None] = None
    conditional: ClassVar[bool] = False

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """The task's own parameters: those of its constructor that are not :data:`OF_THE_RUN`."""
        helps, kinds = described(cls), hints(cls)
        return {
            name: Parameter(name, kinds.get(name, Any), default, helps.get(name, ""))
            for name, default in parameters(cls).items()
            if name not in (*OF_THE_RUN, "whole_is_test")
        }

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> list[str]:
        """What is wrong with these values of :meth:`parameters`: by default, their types."""
        found = (
            problem(p.name, values[p.name], p.kind, {})
            for p in cls.parameters().values()
            if p.name in values and values[p.name] != plain(p.default)
        )
        return [text for text in found if text is not None]

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """Number of classes C; a plain class attribute will do."""

    def prepare(self) -> None:  # noqa: B027 (a task without data to make needs none)
        """Read or make the data now rather than at first use."""

    @abstractmethod
    def train_batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Rows ``rank::world`` of the batch of ``step``: a function of seed and step alone.

        That is what lets a resumed run see the batches that the unbroken run would have seen.
        """

    @abstractmethod
    def eval_batches(
        self, split: str, rank: int = 0, world: int = 1, limit: int | None = None
    ) -> Iterator[Batch]:
        """Batches of ``split`` ("val" or "test"): over all ranks, each sample exactly once.

        ``limit`` takes only that many samples of the split, always the same ones.
        """

    def encode(self, samples: Sequence[Any], first: int = 0) -> Batch:
        """Raw samples, as a user has them, as a batch to predict on; its labels mean nothing.

        A task says in its own ``encode`` which samples it takes.

        Args:
            samples: At least one.
            first: Number of the first of them, for messages.

        Raises:
            ValueError: Naming the sample that is none; or if the task takes no raw samples.
        """
        raise ValueError(
            f"samples: expected a task that takes raw samples, got {type(self).__name__}, which "
            "has no method encode(samples, first) of its own; put them into a file and evaluate "
            "that"
        )

    @abstractmethod
    def tokenizer(self, dim: int, seed: int = 0) -> nn.Module:
        """A module that maps a `Batch` to (tokens (B, T, dim), mask (B, T) bool)."""

    def conditioner(self, dim: int, seed: int = 0) -> nn.Module | None:
        """A module that maps a `Batch` to conditioning tokens (B, N, dim) and their mask (B, N).

        They say which circuit a sample gets; the circuit itself reads the tokenizer's tokens.
        None where the task has none.
        """
        return None

    def max_tokens(self, tokenizer: nn.Module) -> int | None:
        """The most tokens that ``tokenizer``, one of this task, gives a sample; None: no bound.

        By default the tokenizer's ``max_length``, if it has one. It may not depend on
        the data at hand: weights of a run (Linformer's) have this size.
        """
        return getattr(tokenizer, "max_length", None)

    def longest(self, step: int) -> int | None:
        """The most tokens that a sample may have at ``step``; None where that never changes."""
        return None

    def token_kinds(self, batch: Batch) -> Tensor | None:
        """The kind (B, T) int64 of every token of the tokenizer, or None where tokens have none.

        By default the inputs, if they are ids, one a token.
        """
        inputs = batch.inputs
        ids = not inputs.is_floating_point() and inputs.shape == batch.mask.shape
        return inputs if ids else None

    def tags(self, split: str) -> Mapping[str, Sequence[str]]:
        """Words about every row of ``split``, by what they say: ``{"skill": ["spatial", …]}``."""
        return {}

    def present(self, split: str) -> Sequence[int] | None:
        """Labels that occur in ``split``, ascending; None where all of them do."""
        return None

    def dummy_batch(self, count: int, length: int, generator: torch.Generator) -> Batch:
        """Samples of noise, as large as real ones get, for measuring time and memory.

        Args:
            count: Samples B.
            length: Tokens of each, where their number is free.
            generator: Source of the noise.
        """
        vocabulary = getattr(self, "vocabulary", 2)
        ids = torch.randint(1, vocabulary, (count, length), generator=generator)
        real = torch.ones(count, length, dtype=torch.bool)
        return Batch(ids, real, torch.zeros(count, dtype=torch.long), torch.arange(count))

    def full_batch_length(self) -> int | None:
        """The longest samples, in tokens, of which a training batch is full; None: any."""
        return None

    def data_bytes(self) -> int:
        """Bytes that the data takes in memory, about; 0 where nobody knows."""
        return 0

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean cross entropy of logits (B, C) and the labels, or targets, of ``batch``."""
        wanted = batch.labels if batch.targets is None else batch.targets
        return nn.functional.cross_entropy(logits, wanted)

    def remap_classes(self, classes: Sequence[str]) -> None:
        """Number the classes as these are: those of the run that is evaluated on this data.

        Raises:
            ValueError: If the data has classes that are not among them.
        """
        if self.classes is None or list(self.classes) != list(classes):
            raise ValueError(f"classes: expected {named(classes)}, got {named(self.classes or ())}")

    def data_signature(self) -> Mapping[str, Any]:
        """What the sizes of a tokenizer follow from in the data, as JSON values.

        A run keeps them, so that data of other sizes can be made to :meth:`match_sizes` to them.
        """
        return {}

    def match_sizes(self, signature: Mapping[str, Any]) -> None:  # noqa: B027 (sizes may be fixed)
        """Bring this data to the sizes that a run's :meth:`data_signature` tell.

        Raises:
            ValueError: If that cannot be done.
        """

    @abstractmethod
    def baselines(self, split: str) -> dict[str, float]:
        """Accuracies in [0, 1] that need no learning, "majority_accuracy" at least."""

    @abstractmethod
    def describe(self) -> str:
        """One line for the log: which data this is, and which it is not."""


register_task = TASKS.register


def get_task(name: str) -> type[Task]:
    """The task class called ``name``; an unknown name is a ValueError that lists the choices."""
    return TASKS.get(name)


def parameters(cls: type[Task]) -> dict[str, Any]:
    """Names and defaults of what a task's constructor takes, those that it passes on among them."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        own = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        named_ = [p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        found = {**{p.name: p.default for p in named_}, **found}
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            break
    return found


def hints(cls: type[Task]) -> dict[str, Any]:
    """Types of what a task's constructor takes, as far as they are said and can be found."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            with suppress(NameError, TypeError):
                found = {**get_type_hints(base.__init__), **found}  # type: ignore[misc]
    return found


def described(cls: type[Task]) -> dict[str, str]:
    """What the ``Args`` of docstrings say of each parameter, in one line."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        part = re.search(r"\nArgs:\n((?: .*\n?|\n(?= ))*)", inspect.cleandoc(base.__doc__ or ""))
        for names, text in re.findall(
            r"^    ([\w, ]+): (.*(?:\n {5,}.*)*)", part[1] if part else "", re.MULTILINE
        ):
            for name in names.split(", "):
                found.setdefault(name, " ".join(text.split()))
    return found


def named(classes: Sequence[str], most: int = 6) -> str:
    """``cat, dog, … (12)``: the first names, and how many there are."""
    if not classes:
        return "none"
    more = f", … ({len(classes)})" if len(classes) > most else ""
    return ", ".join(classes[:most]) + more
