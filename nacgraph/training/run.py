"""A run: the trained model, its task and its configuration, and what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from nacgraph.training.build import build_model, without_start
from nacgraph.training.checkpoint import Checkpoint, best_or_newest, check_tensors
from nacgraph.training.config import RunConfig, stored_config
from nacgraph.training.data_of_run import task_of_run
from nacgraph.training.display import as_html
from nacgraph.training.evaluation import Evaluation, Predictions, evaluate, predict
from nacgraph.training.folder import check_unedited, read_data_record, read_metrics, read_summary
from nacgraph.training.plugins import changes, missing, recorded_plugins
from nacgraph.training.run_config import read_yaml
from nacgraph.utils.errors import CheckpointError, ConfigError
from nacgraph.utils.registry import load_plugin, plugin_list

if TYPE_CHECKING:
    import networkx as nx
    from torch_geometric.data import Data

    from nacgraph.analysis import Analysis, Comparison, Renditions
    from nacgraph.export import ExportResult
    from nacgraph.fewshot import FewShot
    from nacgraph.graph.design import CircuitDesign
    from nacgraph.models.nac import NAC
    from nacgraph.models.transformer import Model
    from nacgraph.tasks import Task


def read_config(folder: Path) -> RunConfig:
    """The configuration of a run folder. No plugin that it names is run.

    Raises:
        ConfigError: If this is no run folder, or its configuration is not one of ours.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError([f"{folder}: expected a run folder with a config.yaml, got none there"])
    try:
        return stored_config(read_yaml(path))
    except ConfigError as error:
        raise ConfigError([f"{path}: {text}" for text in error.problems]) from error


def require_circuit(config: RunConfig, folder: Path) -> None:
    """Raise ValueError if the model of this run has none."""
    if not config.has_circuit():
        raise ValueError(f"{folder}: a run of model {config.model_name} has no circuit")


def load_weights(model: Model, checkpoint: Checkpoint) -> None:
    """Put the checkpoint's weights into ``model``; both must have the same parameters.

    Raises:
        CheckpointError: Naming a weight that is missing, too many, of another shape or type, or
            not finite.
    """
    stored = checkpoint.part("model")
    here, there = ({k: tuple(t.shape) for k, t in w.items()} for w in (model.state_dict(), stored))
    if wrong := [n for n in sorted({*here, *there}) if here.get(n) != there.get(n)]:
        got = f"{wrong[0]} of shape {here.get(wrong[0])}, got {there.get(wrong[0])}"
        raise CheckpointError(f"{checkpoint.path}: weights of another model: expected {got}")
    check_tensors(checkpoint, {f"model/{n}": t for n, t in model.state_dict().items()})
    model.load_state_dict(stored)


@dataclass(frozen=True, repr=False)
class Run:
    """A trained model with its task and configuration, and what can be done with them.

    Made by :func:`nacgraph.fit` and :func:`nacgraph.load`.

    Attributes:
        path: The run folder.
        model: The model with its best weights, in evaluation mode.
        task: The task, over the run's data or other data.
        config: The configuration.
        checkpoint: Where the weights are from.
        notes: Remarks on damaged files and changed plugins.

    Example:
        >>> run = nacgraph.load("runs/x")  # doctest: +SKIP
        >>> run.evaluate().accuracy  # doctest: +SKIP
        0.604
        >>> run.predict(["[MAX 2 9 [MIN 4 7 ] 0 ]"]).classes  # doctest: +SKIP
        ['9']
    """

    path: Path
    model: Model
    task: Task
    config: RunConfig
    checkpoint: Checkpoint
    notes: list[str]

    # What the run is

    @property
    def circuit(self) -> NAC:
        """The model as one with a circuit; a ValueError if it has none."""
        require_circuit(self.config, self.path)
        return cast("NAC", self.model)

    @property
    def plugins(self) -> list[Path]:
        """The plugin files that reading this run takes: those that ran here, else its own."""
        files = recorded_plugins(self.config.plugin, read_data_record(self.path))
        return [(file.now() or file).path for file in files]

    @property
    def summary(self) -> dict[str, Any]:
        """``summary.json``: the run's results; empty before training has ended."""
        return read_summary(self.path)

    @property
    def metrics(self) -> Any:
        """``metrics.csv``, a row a logged step: a pandas DataFrame, or without pandas a dict of
        NumPy columns."""
        columns = read_metrics(self.path)
        try:
            import pandas
        except ImportError:
            return columns
        return pandas.DataFrame(columns)

    # Its circuit

    @property
    def design(self) -> CircuitDesign:
        """Signatures, codes and states of the circuit that all samples share.

        Raises:
            ValueError: If the model has no circuit, or makes one for every sample.
        """
        with torch.no_grad():
            return self.circuit.design()

    @property
    def link(self) -> np.ndarray:
        """Link probabilities P among the processors, (U, U) float32, receivers in rows; P_ii = 1.

        Raises:
            ValueError: As for :attr:`design`.
        """
        with torch.no_grad():
            link = self.design.links()[0].float().cpu().numpy()
        np.fill_diagonal(link, 1.0)
        return link

    def to_data(self, threshold: float = 0.5) -> Data:
        """The circuit as a PyG graph of links with P > ``threshold``; see `CircuitDesign`."""
        return self.design.to_data(min_probability=threshold)

    def graph(self, threshold: float = 0.5) -> nx.DiGraph:
        """The circuit as a networkx graph of links with P > ``threshold``."""
        return self.design.to_networkx(min_probability=threshold)

    # What it answers

    def with_data(self, data: str | Path | None = None, **task_arguments: Any) -> Run:
        """The same run over other data, which is a test split unless it has one of its own.

        Args:
            data: File or folder in one of the task's layouts; None: the run's own.
            task_arguments: Other parameters of the task, as ``batch_size`` or ``cache_dir``.

        Raises:
            ValueError: If data and run do not fit.
        """
        given = {"data": data, **task_arguments}
        if not (given := {name: value for name, value in given.items() if value is not None}):
            return self
        record = read_data_record(self.path)
        task, notes = task_of_run(self.path, self.config, record, **given)
        return replace(self, task=task, notes=[*self.notes, *notes])

    def evaluate(
        self,
        data: str | Path | None = None,
        *,
        split: str = "test",
        by: Sequence[str] = (),
        batch_size: int | None = None,
        device: str = "auto",
        progress: Any = None,
    ) -> Evaluation:
        """Accuracy on a split of the run's own or of other data.

        Args:
            data: As for :meth:`with_data`.
            split: "test" or "val".
            by: Tags of the task ("root" for listops, "skill" for nlvr2): accuracy apart by each.
            batch_size: That of the run if not given.
            device: "cpu", "cuda", or "auto", which takes CUDA where there is one.
            progress: Called with (right, seen) after every batch.

        Raises:
            ValueError: If the data does not fit, or the task has no such tag or split.
        """
        run = self.with_data(data, batch_size=batch_size)
        return evaluate(run, str(data) if data else None, split, by, device, progress)

    def predict(self, samples: Sequence[Any], *, device: str = "auto") -> Predictions:
        """Classes and probabilities of raw samples.

        Args:
            samples: What the task takes: for listops ``["[MAX 2 9 [MIN 4 7 ] 0 ]"]``, texts for
                text, files, pictures or arrays (H, W) or (H, W, C) for images, arrays (P, 3) for
                points, (image, image, sentence) for nlvr2.
            device: As for :meth:`evaluate`.

        Raises:
            ValueError: Naming the sample that is none, or if the task takes no raw samples.
        """
        return predict(self, samples, device)

    # What is found out about it, and made of it. These rooms lie above this one, and are opened
    # when they are asked for.

    def analyze(
        self,
        *,
        nulls: int = 20,
        seed: int = 0,
        samples: int = 128,
        progress: Any = None,
        **options: Any,
    ) -> Analysis:
        """Statistics of the circuit, what its modules do, its pictures and a report.

        Args:
            nulls: Random graphs of equal degrees to compare with.
            seed: Seed of everything that is drawn.
            samples: Validation samples on which it is measured what modules do; 0: none.
            progress: Called with (what is done, share done).
            options: Further ones of :func:`nacgraph.analysis.analyze`.
        """
        from nacgraph.analysis import analyze

        return analyze(self, nulls=nulls, seed=seed, samples=samples, progress=progress, **options)

    def compare(
        self,
        other: Run | str | Path | np.ndarray,
        *,
        seed: int = 0,
        nulls: int = 10,
        progress: Any = None,
    ) -> Comparison:
        """How far this circuit and another are apart: see :func:`nacgraph.analysis.compare`."""
        from nacgraph.analysis import compare

        return compare(self, other, seed=seed, nulls=nulls, progress=progress)

    def prune(
        self,
        keep: float = 0.2,
        *,
        order: str = "degree",
        out: str | Path | None = None,
        **options: Any,
    ) -> Run:
        """A smaller run with the share ``keep`` of the modules, in a folder of its own.

        Args:
            keep: Share of the processors that stays, in (0, 1].
            order: Which ones: "degree", "contribution" or "random".
            out: The new folder; ``RUN-keepPERCENT-ORDER`` beside this one if not given.
            options: Further ones of :func:`nacgraph.analysis.prune_run`.
        """
        from nacgraph.analysis import prune_run

        return load_run(Path(prune_run(self, keep=keep, order=order, out=out, **options)))

    def fewshot(self, baseline: Run | str | Path | None = None, **options: Any) -> FewShot:
        """New classes from a few samples, beside a second run if one is given: see
        :func:`nacgraph.fewshot.fewshot`, which has the options."""
        from nacgraph.fewshot import fewshot

        other = load_run(Path(baseline)) if isinstance(baseline, (str, Path)) else baseline
        return fewshot(self, other, **options)

    def renditions(self, *others: Run | str | Path, **options: Any) -> Renditions:
        """Accuracy on images drawn, distorted and corrupted, of this run and ``others``: see
        :func:`nacgraph.analysis.renditions`, which has the options."""
        from nacgraph.analysis import renditions

        runs = [load_run(Path(o)) if isinstance(o, (str, Path)) else o for o in others]
        return renditions([self, *runs], **options)

    def export(
        self, format: str = "onnx", *, out: str | Path | None = None, **options: Any
    ) -> ExportResult:
        """The circuit as a file that answers without nacgraph.

        Args:
            format: "onnx", or "torch" for a .pt2 of ``torch.export``.
            out: The file; within the run folder if not given.
            options: Further ones of :func:`nacgraph.export.export_run`.
        """
        from nacgraph.export import export_run

        return export_run(self, format, out=None if out is None else Path(out), **options)

    # How it looks

    def __repr__(self) -> str:
        facts = [f"{self.config.model_name} on {self.config.task.name}"]
        if self.config.has_circuit():
            facts.append(f"prior {self.config.prior.name}, {self.config.modules} modules")
        accuracy = self.summary.get("test_accuracy")
        if accuracy is not None:
            facts.append(f"test {100 * accuracy:.1f} %")
        return f"Run({str(self.path)!r}: {', '.join(facts)}, step {self.checkpoint.state['step']})"

    def _repr_html_(self) -> str:
        return as_html(self)


def load(
    path: str | Path,
    *,
    plugins: Sequence[str | Path] = (),
    allow_edited: bool = False,
    **task_arguments: Any,
) -> Run:
    """Read a run folder: the model with its best weights, its task, its configuration.

    Args:
        path: The folder.
        plugins: Python files that the run needs for its task. They are run; nothing in the run
            folder ever is.
        allow_edited: Take configuration and data record as they are now, though they were edited.
        task_arguments: Replace those of the run, as ``data="basic_test.tsv"`` does.

    Raises:
        ConfigError: If this is no run folder.
        CheckpointError: If it holds no valid checkpoint, or its configuration was edited.
        ValueError: If data and run do not fit, or a plugin is missing; the message names it.
    """
    for plugin in plugin_list(plugins):
        load_plugin(plugin)
    return load_run(Path(path), allow_edited, **task_arguments)


def load_circuit(folder: Path, **task_arguments: Any) -> Run:
    """As :func:`load_run`; a ValueError, before anything is read, if the run has no circuit."""
    require_circuit(read_config(folder), folder)
    return load_run(folder, **task_arguments)


def load_run(folder: Path, allow_edited: bool = False, **task_arguments: Any) -> Run:
    """As :func:`load`, with the plugins that have run already."""
    config, record = read_config(folder), read_data_record(folder)
    checkpoint, skipped = best_or_newest(folder / "checkpoints")
    if checkpoint is None:
        raise CheckpointError(f"{folder}: no valid checkpoint; " + "; ".join(skipped))
    edited = check_unedited(folder, checkpoint.state, allow_edited)
    plugins = recorded_plugins(config.plugin, record)
    try:
        task, seen = task_of_run(folder, config, record, **task_arguments)
        # The checkpoint holds the signatures, so the prior that they may have started from (it
        # could be a plugin's) is not needed again.
        model = build_model(without_start(config), task, None)
    except ValueError as error:
        if absent := missing(plugins):
            raise ValueError(f"{error}; {absent}") from error
        raise
    load_weights(model, checkpoint)
    notes = [*skipped, *edited, *seen, *changes(plugins)]
    return Run(folder, model.eval(), task, config, checkpoint, notes)
