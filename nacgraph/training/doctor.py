"""This machine, and what a run would use and take: versions, backends, memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacgraph.training.config import RunConfig

if TYPE_CHECKING:
    from nacgraph.training.memory import Estimate

PACKAGES = (
    "torch", "torch_geometric", "torch_scatter", "numba", "numpy", "scipy", "graspologic",
    "pytorch_lightning",
)  # fmt: skip
FAST_BF16 = ("avx512_bf16", "amx_bf16", "bf16", "svebf16")  # as Linux names them, Arm's too
MATCHED = 1024  # modules from which the search for a matching takes seconds and more


def examine(config: RunConfig) -> dict[str, Any]:
    """What this machine has, and what a run of this configuration would use, as JSON values.

    Memory is in bytes. "warnings" lists what is likely to be slow, or not to fit; "notes" what was
    left out.
    """
    import torch

    from nacgraph.utils.machine import available, versions

    if config.threads:
        torch.set_num_threads(config.threads)
    estimate, failure = _estimate(config)
    engine = config.nac_config() if config.has_circuit() else None
    total, free = available()
    found: dict[str, Any] = {
        "versions": versions(PACKAGES),
        "scatter": _scatter(),
        "cpu": _cpu(),
        "threads": {
            "torch": torch.get_num_threads(),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        },
        "memory": {"total": total, "free": free},
        "accelerator": _accelerator(),
        "kernels": _kernels(),
        "run": {
            "task": config.task,
            "prior": config.prior,
            "model": config.model,
            "preset": config.preset,
            "modules": config.modules if engine else None,
            "width": config.width,
            "batch_size": config.batch_size,
            "precision": config.precision,
            "backend": config.backend,
            "kernel": engine and engine.mode,
            "eval_kernel": engine and engine.eval_mode,
            "graphs": config.graphs,
            "temperature": config.temperature,
            "min_weight": config.min_weight,
        },
        "links": {},
        "estimate": None,
        "notes": [],
    }
    if estimate is None:
        found["notes"].append(f"memory not estimated: {failure}")
    else:
        found["links"] = {name: vars(links) for name, links in estimate.links.items()}
        found["estimate"] = {
            "peak": estimate.peak,
            "phase": estimate.phase,
            "phases": estimate.phases,
            "processes": config.devices * config.nodes,
        }
        found["notes"] += estimate.notes
        if found["accelerator"] and config.device != "cpu":
            found["notes"].append("the estimate is for the CPU; accelerators were not measured")
    found["warnings"] = warnings(config, found)
    return found


def _estimate(config: RunConfig) -> tuple[Estimate | None, str]:
    try:
        from nacgraph.training.memory import estimate

        return estimate(config), ""
    except Exception as error:  # a plugin's task may want other batches; the rest still helps
        return None, f"{type(error).__name__}: {error}"


def _scatter() -> str:
    from torch_geometric.typing import WITH_TORCH_SCATTER

    return "torch_scatter" if WITH_TORCH_SCATTER else "torch: scatter_add, scatter_reduce"


def _cpu() -> dict[str, Any]:
    import torch

    from nacgraph.utils.machine import processor

    found = processor()
    flags = next((found[name].split() for name in ("flags", "Features") if name in found), None)
    fast = None if flags is None else [flag for flag in FAST_BF16 if flag in flags]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    vectors = torch.backends.cpu.get_cpu_capability()
    return {"model": found["model name"], "cores": usable, "vectors": vectors, "bf16": fast}


def _accelerator() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _kernels() -> dict[str, Any]:
    """Where Numba keeps compiled kernels: it decides by file, so each loaded one is asked."""
    folders: set[str] = set()
    for name, module in list(sys.modules.items()):
        if name.startswith("nacgraph."):
            for value in list(vars(module).values()):
                path = getattr(getattr(value, "stats", None), "cache_path", None)
                folders |= {path} if isinstance(path, str) else set()
    if not folders:
        chosen = os.environ.get("NUMBA_CACHE_DIR")
        folders = {chosen or str(Path(__file__).resolve().parent.parent / "__pycache__")}
    return {path: {"writable": _writable(Path(path)), "files": _count(path)} for path in folders}


def _writable(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK)


def _count(folder: str) -> int:
    return sum(1 for _ in Path(folder).glob("*.nbc"))


def warnings(config: RunConfig, found: dict[str, Any]) -> list[str]:
    """What is likely to be slow, or not to fit."""
    texts = []
    cores, threads = found["cpu"]["cores"], found["threads"]["torch"]
    asked = found["threads"]["OMP_NUM_THREADS"] or ""
    if asked.isdigit() and cores and int(asked) > cores:
        texts.append(f"OMP_NUM_THREADS is {asked}, and there are {cores} cores: threads will wait")
    elif cores and threads > cores:
        texts.append(f"{threads} threads on {cores} cores: threads will wait for each other")
    modules = config.modules if config.has_circuit() else 0
    if threads > 1 and 0 < modules * config.width <= 64 * 64 and config.max_length <= 512:
        texts.append(
            f"{threads} threads gain little with {config.modules} modules of width "
            f"{config.width}; on a busy machine --threads 1 is faster"
        )
    estimate, free = found["estimate"], found["memory"]["free"]
    if estimate and free is not None and estimate["peak"] * config.devices > free:
        each = f" × {config.devices} processes" if config.devices > 1 else ""
        texts.append(
            f"the run may take {_size(estimate['peak'])}{each}, and {_size(free)} are free: "
            f"{_advice(config)}"
        )
    if config.prior != "none" and modules >= MATCHED:
        part = ""
        if estimate:
            part = f", {_size(estimate['phases']['training']['prior'])} beside the model"
        texts.append(
            f"prior {config.prior} holds matrices of {config.modules} x {config.modules}{part}, "
            f"and matches them every {config.match_every} steps, which costs modules³: raise "
            "--match-every, or train with --prior none"
        )
    bf16 = found["cpu"]["bf16"]
    if config.precision == "bf16-mixed" and bf16 == [] and found["accelerator"] is None:
        texts.append("bf16-mixed: the processor has no bf16 instructions, fp32 will be faster")
    if not all(folder["writable"] for folder in found["kernels"].values()):
        texts.append("compiled kernels cannot be kept: set NUMBA_CACHE_DIR to a writable folder")
    if found["versions"]["torch_scatter"] and found["scatter"] != "torch_scatter":
        texts.append("torch_scatter is installed and does not load: built for another torch?")
    return texts


def _advice(config: RunConfig) -> str:
    return "lower --batch-size" + ", or --modules" * config.has_circuit()


def lines(found: dict[str, Any]) -> list[str]:
    """The report as text."""
    cpu, run, threads = found["cpu"], found["run"], found["threads"]
    known = ", ".join(f"{name} {text or '–'}" for name, text in found["versions"].items())
    bf16 = "" if cpu["bf16"] is None else f", bf16: {' '.join(cpu['bf16']) or 'no instructions'}"
    memory = found["memory"]
    rows = [
        ("versions", known),
        ("scatter", f"torch_geometric works with {found['scatter']}"),
        ("processor", f"{cpu['model']}, {cpu['cores']} cores, {cpu['vectors']}{bf16}"),
        ("threads", f"torch {threads['torch']}, OMP_NUM_THREADS {threads['OMP_NUM_THREADS']}"),
        ("memory", f"{_size(memory['total'])}, {_size(memory['free'])} free"),
        ("device", found["accelerator"] or "no accelerator"),
    ]
    for path, kept in found["kernels"].items():
        state = "writable" if kept["writable"] else "NOT writable"
        rows.append(("kernels", f"{path} ({state}, {kept['files']} kept)"))
    rows += [
        (
            "run",
            f"{run['model']} on {run['task']} under {run['prior']}, preset {run['preset']}: "
            + f"{run['modules']} modules, " * bool(run["modules"])
            + f"width {run['width']}, batch {run['batch_size']}, precision {run['precision']}",
        ),
    ]
    if run["modules"]:
        rows.append(
            (
                "sampler",
                f"{run['kernel']} in training, {run['eval_kernel']} in evaluation, "
                f"graphs {run['graphs']}, temperature {run['temperature']}, least weight "
                f"{run['min_weight']}",
            )
        )
    auto = run["backend"] == "auto"
    for name, links in found["links"].items():
        chosen = f"auto takes {links['auto']}" if auto else f"runs by {run['backend']}"
        rows.append(("backend", f"{name}: {links['density']:.1%} of links, {chosen}"))
    estimate = found["estimate"]
    if estimate:
        each = f", each of {estimate['processes']} processes" * (estimate["processes"] > 1)
        peak = f"{_size(estimate['peak'])} at its peak ({estimate['phase']})"
        rows.append(("estimate", peak + each))
        for phase, parts in estimate["phases"].items():
            shown = " + ".join(f"{part} {_size(size)}" for part, size in parts.items())
            rows.append(("", f"{phase} {_size(sum(parts.values()))}: {shown}"))
    rows += [("note", text) for text in found["notes"]]
    rows += [("warning", text) for text in found["warnings"]]
    return [f"{name:<10} {text}" for name, text in rows]


def _size(amount: int | None) -> str:
    if amount is None:
        return "unknown"
    return f"{amount / 2**30:.2f} GiB" if amount >= 2**30 else f"{amount / 2**20:.0f} MiB"
