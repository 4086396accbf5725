"""The Lightning module of a run: the training step, and what happens after each.

Imported only where a run is trained, since Lightning takes seconds to import.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from nacgraph.graph.forms import isolated
from nacgraph.models.transformer import Model
from nacgraph.nn.circuit import CircuitOutput
from nacgraph.priors import MatchedLoss
from nacgraph.tasks import Batch, Task
from nacgraph.training.averaging import WeightAverage
from nacgraph.training.batches import Steps
from nacgraph.training.checkpoint import (
    Checkpoint,
    check_tensors,
    keep_last,
    load_checkpoint,
    save_checkpoint,
    step_name,
)
from nacgraph.training.config import RunConfig
from nacgraph.training.folder import RunFolder
from nacgraph.training.optim import (
    MOMENTS,
    clip_gradients,
    learning_rate,
    make_optimizer,
    noise_generator,
    optimizer_tensors,
    restore_optimizer,
)
from nacgraph.training.run import load_weights
from nacgraph.training.scoring import Score, score
from nacgraph.utils.errors import CheckpointError, NonFiniteError
from nacgraph.utils.progress import Progress, ProgressCounter

DENSE = 0.9  # mean link probability above which a circuit counts as a complete graph
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class NACLightning(pl.LightningModule):
    """Trains a NAC on a task under a graph prior, or a transformer on the task alone.

    ``step`` counts finished optimizer steps over all sessions of the run; Lightning's own
    counter starts at 0 in each.

    Args:
        model: The circuit, or the transformer.
        task: Batches, loss, evaluation.
        config: The run.
        target: The prior's link probabilities (U, U), or None without a prior or a circuit.
        folder: Where to write; None on all processes but the first.
        progress: What to show.
        resume: Checkpoint to go on from.
    """

    def __init__(
        self,
        model: Model,
        task: Task,
        config: RunConfig,
        target: Tensor | None,
        folder: RunFolder | None,
        progress: Progress,
        resume: Checkpoint | None = None,
    ) -> None:
        super().__init__()
        self.model, self.task, self.config = model, task, config
        self.folder, self.progress, self.resume = folder, progress, resume
        self.checkpoints = folder.checkpoints if folder else None
        self.prior_loss = (
            None
            if target is None
            else MatchedLoss(
                target,
                config.prior.loss,
                config.prior.matching,
                match_every=config.prior.match_every,
            )
        )
        self.average = WeightAverage(model, config.optimizer.ema) if config.optimizer.ema else None
        self.step, self.seconds = 0, 0.0
        self.best_accuracy, self.best_step = -1.0, 0
        self.row: dict[str, Any] = {}
        self.warned: list[str] = []
        self.asked_to_stop = 0
        self.stopped = False
        self._handlers: dict[int, Any] = {}
        self._rate = 0.0  # samples a second

    # The straight line

    def training_step(self, batch: Batch, _: int) -> Tensor:
        rank, world = self.trainer.global_rank, self.trainer.world_size
        noise = noise_generator(self.config.seed, self.step, rank, world)
        out = self.model(batch, noise)
        task_loss = loss = self.task.loss(out.logits.float(), batch)
        prior_loss = None
        if self.prior_loss is not None:
            self._require_finite(out.link.sum(), "sum of link probabilities")
            link, whole = out.link.float(), None
            if world > 1 and link.dim() == 3 and self.prior_loss.due(self.step):
                whole = cast(Tensor, self.all_gather(link.detach())).flatten(0, 1)
            prior_loss = self.prior_loss(link, self.step, whole)
            loss = loss + self.config.prior.weight * prior_loss
        of_graph: dict[str, float] = {}
        if isinstance(out, CircuitOutput):
            of_graph = {"mean_degree": out.graph.mean_degree(), "isolated": isolated(out.graph)}
        self._note(loss, task_loss, prior_loss, of_graph)
        return loss

    def _note(
        self,
        loss: Tensor,
        task_loss: Tensor,
        prior_loss: Tensor | None,
        of_graph: Mapping[str, float],
    ) -> None:
        """Means over all processes, and whether any of them was asked to stop."""
        zero = torch.zeros_like(loss)
        prior = zero if prior_loss is None else prior_loss
        numbers = [zero.double() + value for value in (self.asked_to_stop, *of_graph.values())]
        shared = torch.stack([*(t.double() for t in (loss, task_loss, prior)), *numbers]).detach()
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(shared)
            shared /= self.trainer.world_size
        values = shared.tolist()
        self.stopped = values[3] > 0
        self.row = {
            "loss": values[0],
            "task_loss": values[1],
            "prior_loss": None if prior_loss is None else values[2],
            **dict(zip(of_graph, values[4:], strict=True)),
        }

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        # Every process sees the same mean loss and the same reduced gradient, so all stop together.
        self._require_finite(self.row["loss"], "loss")
        norm = clip_gradients(self._learning, self.config.optimizer.clip)
        self._require_finite(norm, "gradient norm")
        self.row["gradient_norm"] = norm

    def _require_finite(self, value: Tensor | float, what: str) -> None:
        value = float(value.detach()) if isinstance(value, Tensor) else value
        if not math.isfinite(value):
            rows = self.task.train_batch(self.step).index.tolist()
            raise NonFiniteError(
                f"{what} is {value} at step {self.step + 1}, before the weights changed; "
                f"the batch holds samples {', '.join(map(str, rows))}"
            )

    # Start

    def configure_optimizers(self) -> torch.optim.Optimizer:
        c = self.config.optimizer
        # Kept: looking for parameters among hundreds of modules takes as long as clipping does.
        self._learning = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = make_optimizer(self.model, c.learning_rate, c.weight_decay, c.signature_rate)
        if self.resume is not None:
            restore_optimizer(self.model, optimizer, self.resume.part("optimizer"))
        return optimizer

    def setup(self, stage: str) -> None:
        # The first process chooses the checkpoint; the others read the same file.
        path = self.trainer.strategy.broadcast(self.resume.path if self.resume else None)
        if path is not None and self.step == 0:
            self.restore(self.resume or load_checkpoint(path))
        self.checkpoints = self.trainer.strategy.broadcast(self.checkpoints)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take up weights, step and permutation; the optimizer follows when it is made."""
        self._check(checkpoint)
        self.resume = checkpoint
        load_weights(self.model, checkpoint)
        state = checkpoint.state
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.best_accuracy, self.best_step = state["best_accuracy"], state["best_step"]
        if self.prior_loss is not None:
            self.prior_loss.load_state(checkpoint.tensors["matched/permutation"])
        if self.average is not None:
            self.average.load(checkpoint.part("average"))

    def _check(self, checkpoint: Checkpoint) -> None:
        """That a checkpoint has all parts of this run, before any of them is taken up."""
        learning = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        expected = {f"optimizer/step/{name}": torch.zeros(()) for name in learning}
        for name, p in learning.items():
            expected |= {f"optimizer/{moment}/{name}": p for moment in MOMENTS[1:]}
        # What got no gradient, as signatures where the graph passes none, has no moments at all.
        held = {name.partition("/")[2] for name in checkpoint.part("optimizer")}
        idle = [name for name in learning if name not in held]
        if len(idle) == len(learning):
            raise CheckpointError(f"{checkpoint.path}: expected the optimizer's state, got none")
        optional = [f"optimizer/{moment}/{name}" for moment in MOMENTS for name in idle]
        if self.average is not None:
            expected |= {f"average/{k}": t for k, t in self.average.state().items()}
        check_tensors(checkpoint, expected, optional)
        if self.prior_loss is None:
            return
        order = checkpoint.tensors.get("matched/permutation", torch.zeros(1))
        if len(order) not in (0, self.config.modules) or not torch.equal(
            order.sort().values, torch.arange(len(order))
        ):
            raise CheckpointError(
                f"{checkpoint.path}: matched/permutation: expected a permutation of the "
                f"{self.config.modules} modules, got {tuple(order.shape)} numbers that are none"
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        rank, world = self.trainer.global_rank, self.trainer.world_size
        batches = Steps(self.task, self.step, self.config.steps, rank, world)
        # A generator of its own: a loader draws a seed, which is not used, from the global one.
        return DataLoader(batches, batch_size=None, num_workers=0, generator=torch.Generator())

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, _: int) -> Batch:
        return batch.to(device)

    def on_train_start(self) -> None:
        if threading.current_thread() is threading.main_thread():  # others get no signals
            self._handlers = {s: signal.signal(s, self._ask_to_stop) for s in STOP_SIGNALS}
        if self.folder is not None:
            self.folder.open_metrics(self.step)
            self.folder.save_frame(self.step, self.model)
        if self.average is not None:
            self.average.to(self.device)
        self.progress.start()
        self._tick = time.perf_counter()

    def _ask_to_stop(self, number: int, frame: Any) -> None:
        if self.asked_to_stop:  # a second Ctrl-C does not wait
            raise KeyboardInterrupt
        self.asked_to_stop = number
        self.progress.say("stopping after this step …")

    # After each step

    def on_train_batch_start(self, batch: Batch, _: int) -> None:
        c = self.config
        rate = learning_rate(self.step, c.optimizer.learning_rate, c.optimizer.warmup, c.steps)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["scale"]
        self._lr = rate

    def on_train_batch_end(self, outputs: Any, batch: Batch, _: int) -> None:
        c, took = self.config, time.perf_counter() - self._tick
        now = len(batch.labels) * self.trainer.world_size / took
        self._rate = 0.9 * self._rate + 0.1 * now if self._rate else now
        length = self.task.longest(self.step)
        self.step += 1
        if self.average is not None:
            self.average.update()
        last = self.step == c.steps
        self.row |= {
            "step": self.step,
            "seconds": self.seconds + took,
            "learning_rate": self._lr,
            "length": length,
            "samples_per_second": self._rate,
        }
        validated = last or self.step % c.validate_every == 0
        improved = validated and self._validate()
        self.seconds += time.perf_counter() - self._tick
        self._tick = time.perf_counter()
        if self.folder is not None and (validated or self.step % c.log_every == 0):
            self.folder.log(self.row)
        self.progress.step(self.row)
        self._warn_of_density()
        if validated or self.stopped or self.step % c.checkpoint_every == 0:
            self.save(improved)
        if self.stopped:
            self.trainer.should_stop = True

    def evaluate(self, split: str, limit: int | None = None, tell: bool = False) -> Score:
        """Accuracy on a split, each sample counted once over all processes."""
        told = ProgressCounter(split, self.progress.say) if tell else None
        return score(self.model, self.task, split, self.device, self.config.precision, limit, told)

    def result(self) -> AbstractContextManager[None]:
        """Within it the model has the weights that count: their running mean, if there is one."""
        return nullcontext() if self.average is None else self.average.applied()

    def _validate(self) -> bool:
        with self.result():
            found = self.evaluate("val", self.config.validate_samples or None)
        self.row |= {"val_accuracy": found.accuracy, "val_loss": found.loss}
        improved = found.accuracy > self.best_accuracy
        if improved:
            self.best_accuracy, self.best_step = found.accuracy, self.step
        self.progress.validated(self.row, improved)
        if self.folder is not None:
            self.folder.save_frame(self.step, self.model)
        return improved

    def _warn_of_density(self) -> None:
        modules = self.config.modules
        dense = self.row.get("mean_degree", 0.0) > DENSE * (modules - 1)
        if dense and not self.warned and modules > 2 and not self.config.links_all():
            text = (
                f"at step {self.step} the mean link probability passed {DENSE}: the circuit is "
                "collapsing to a complete graph; raise --prior-weight or lower --bandwidth"
            )
            self.warned.append(text)
            self.progress.say("warning: " + text, error=True)

    def save(self, improved: bool = False) -> None:
        """Write a checkpoint of this step, and the best one if it is that."""
        if self.folder is None:
            return
        path = self.folder.checkpoints
        weights = {f"model/{k}": t for k, t in self.model.state_dict().items()}
        moments = optimizer_tensors(self.model, self.trainer.optimizers[0])
        tensors = weights | {f"optimizer/{k}": t for k, t in moments.items()}
        if self.prior_loss is not None:
            tensors["matched/permutation"] = self.prior_loss.state()
        if self.average is not None:
            tensors |= {f"average/{k}": t for k, t in self.average.state().items()}
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best_accuracy": self.best_accuracy,
            "best_step": self.best_step,
            "files": self.folder.digests,
        }
        if improved:
            with self.result():  # the weights are the model's own, not copies
                save_checkpoint(path, "best", weights, state)
        save_checkpoint(path, step_name(self.step), tensors, state)
        keep_last(path, self.step)

    def on_train_end(self) -> None:
        self.close()
        self.trainer.strategy.barrier()  # what the first process wrote is there for all

    def close(self) -> None:
        """Give signals and terminal back; also after an error."""
        while self._handlers:  # once: what was put back may be gone by the second call
            signal.signal(*self._handlers.popitem())
        self.progress.stop()
        if self.folder is not None:
            self.folder.close()
