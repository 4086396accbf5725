"""``nacgraph compare RUN_A RUN_B``: how far the graphs of two circuits are apart."""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nacgraph.cli.answer import answer
from nacgraph.cli.reading import at_least
from nacgraph.training.config import RunConfig
from nacgraph.training.flags import flat
from nacgraph.training.run import read_config, require_circuit
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import percent

NOT_COMPARED = ("out", "resume", "cache_dir", "threads", "device", "plugin")


def main(argv: Sequence[str] | None = None) -> int:
    """Compare; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="nacgraph compare",
        description="Compares the graphs of two trained circuits. Prints JSON; a summary goes to "
        "standard error.",
        allow_abbrev=False,
    )
    parser.add_argument("run_a", type=Path, metavar="RUN_A", help="a run folder of nacgraph train")
    parser.add_argument("run_b", type=Path, metavar="RUN_B", help="another one")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn")
    parser.add_argument("--nulls", type=int, default=10, help="random circuits to compare with")
    parser.add_argument("--picture", type=Path, help="both graphs in matched order, a .png or .svg")
    arguments = parser.parse_args(argv)

    def work() -> dict[str, Any]:
        result = compare(arguments)
        print("\n".join(lines(result)), file=sys.stderr)
        return result

    return answer(work)


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read both runs, compare them, write ``--out`` and ``--picture``.

    Raises:
        ConfigError: If a folder is no run.
        ValueError: If a run has no circuit, or its file is damaged.
    """
    from nacgraph.analysis.comparing import compare_graphs

    at_least(arguments, seed=0, nulls=0)
    folders = arguments.run_a, arguments.run_b
    configs = [read_config(folder) for folder in folders]
    for config, folder in zip(configs, folders, strict=True):
        require_circuit(config, folder)
    p_a, p_b = (read_links(folder) for folder in folders)
    kernel = None
    if not any(config.links_all() for config in configs):
        engine = configs[1].nac_config()
        kernel = engine.signature_dim, engine.bandwidth
    found = compare_graphs(p_a, p_b, seed=arguments.seed, kernel=kernel, nulls=arguments.nulls)
    if kernel is None and len(p_a) == len(p_b):
        reason = "a complete graph has no signatures to draw at random"
        found["random_circuits"] = {"value": None, "reason": reason}
    result = {
        "runs": [str(folder) for folder in folders],
        "seed": arguments.seed,
        "config": differences(*configs),
        "accuracy": [accuracy(folder) for folder in folders],
        **found,
    }
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        write_atomically(arguments.out, text.encode())
    if arguments.picture is not None:
        draw(arguments.picture, p_a, p_b, result)
    return result


def read_links(folder: Path) -> np.ndarray:
    """Link probabilities among processors, (U, U), from a run's ``circuit.npz``.

    Raises:
        ValueError: If there is none yet, or it is damaged. Nothing in it is run as code.
    """
    from nacgraph.analysis.comparing import check_links

    path = folder / "circuit.npz"
    if not path.is_file():
        raise ValueError(f"{path}: expected the circuit that a finished training writes, got none")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "link_probabilities" not in arrays:
                raise ValueError(f"expected link_probabilities in it, got {', '.join(arrays)}")
            return check_links(arrays["link_probabilities"], "link_probabilities")
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: damaged, or no circuit ({error})") from error


def differences(a: RunConfig, b: RunConfig) -> dict[str, list[Any]]:
    """The fields in which two configurations differ: ``{field: [A's, B's]}``."""
    first, second = flat(a), flat(b)
    return {
        name: [first.get(name), second.get(name)]
        for name in {**first, **second}
        if name not in NOT_COMPARED and first.get(name) != second.get(name)
    }


def accuracy(folder: Path) -> dict[str, Any]:
    """Test accuracy of a run, from its summary."""
    try:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        value = summary["test_accuracy"]
        return {"value": float(value), "n": summary.get("test_n"), "ci95": summary.get("ci95")}
    except (OSError, ValueError, TypeError, KeyError):
        return {"value": None, "reason": "no summary.json with a test accuracy"}


def lines(result: dict[str, Any]) -> list[str]:
    """The comparison in a few lines."""

    def shown(value: dict[str, Any], text: str) -> str:
        return f"undefined: {value['reason']}" if value["value"] is None else text.format(**value)

    matched, groups, latent = (
        result[name] for name in ("matched_distance", "communities", "latent_positions")
    )
    raw, random = result["raw_distance"], result["random_circuits"]
    rows = [
        ("accuracy", " / ".join(percent(each["value"]) for each in result["accuracy"])),
        (
            "modules",
            " / ".join(map(str, result["modules"]))
            + ", mean degree "
            + " / ".join(f"{degree:.2f}" for degree in result["mean_degree"]),
        ),
        ("matched", shown(matched, "mse {value:.3e}, rms {rms:.4f}")),
        ("as labelled", shown(raw, "mse {value:.3e}") + _null(raw, "relabelled")),
        ("random", shown(random, "mse {value:.3e}") + _null(random, "random circuits")),
        (
            "communities",
            f"{' / '.join(map(str, groups['counts']))}, overlap "
            + shown(groups["ari"], "ARI {value:.3f}")
            + ", "
            + shown(groups["ami"], "AMI {value:.3f}")
            if groups["ari"]["value"] is not None
            else f"{' / '.join(map(str, groups['counts']))}, overlap {shown(groups['ari'], '')}",
        ),
        ("degrees", shown(result["degree_distance"], "KS {value:.3f}, p {p:.3g}")),
        ("spectrum", shown(result["spectral_distance"], "Wasserstein {value:.4f}")),
        ("latent", shown(latent, "{test}: {value:.3f}, p {p:.3g}, {dimension} dimensions")),
        (
            "differ in",
            ", ".join(f"{name} {a}/{b}" for name, (a, b) in result["config"].items())
            or "no setting",
        ),
    ]
    return [f"{name:<12} {text}" for name, text in rows]


def _null(value: dict[str, Any], what: str) -> str:
    if value["value"] is None or value.get("null_mean") is None:
        return ""
    z = "" if value["z"] is None else f", z {value['z']:.1f}"
    return f" ({what}: {value['null_mean']:.3e}{z})"


def draw(path: Path, p_a: np.ndarray, p_b: np.ndarray, result: dict[str, Any]) -> None:
    """Both graphs as heat maps, B by its communities and A in matched order."""
    import io

    import torch
    from matplotlib.figure import Figure

    from nacgraph.analysis.comparing import leiden_labels
    from nacgraph.viz import heat_map

    figure = Figure(figsize=(9.6, 4.8), layout="constrained", dpi=150)
    axes = figure.subplots(1, 2)
    seed, permutation = result["seed"], result["matched_distance"].get("permutation")
    show_b = np.argsort(leiden_labels(p_b, seed), kind="stable")
    if permutation is None:
        show_a = np.argsort(leiden_labels(p_a, seed), kind="stable")
    else:
        show_a = np.asarray(permutation)[show_b]
    pairs = zip(axes, (p_a, p_b), (show_a, show_b), result["runs"], strict=True)
    for number, (place, p, order, name) in enumerate(pairs):
        heat_map(place, torch.from_numpy(p[order][:, order]), Path(name).name, bar=number == 1)
    data = io.BytesIO()
    figure.savefig(data, format=path.suffix.removeprefix(".") or "png")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data.getvalue())
