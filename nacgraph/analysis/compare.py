"""Two circuits side by side: how far their graphs are from each other."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.training.flags import flat
from nacgraph.training.folder import read_summary
from nacgraph.training.run import Run, read_config, require_circuit
from nacgraph.utils.check import check_at_least
from nacgraph.utils.progress import percent
from nacgraph.utils.result import Result, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nacgraph.training.config import RunConfig

NOT_COMPARED = ("out", "resume", "cache_dir", "threads", "device", "plugin")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """What :func:`compare` found, as a mapping, and a picture of it.

    Attributes:
        numbers: See :func:`nacgraph.analysis.comparing.compare_graphs`; also "runs", "seed",
            "config" (settings that differ) and "accuracy".
        links: Link probabilities of both, (U, U) and (V, V).
    """

    links: tuple[np.ndarray, np.ndarray]

    def figure(self) -> Figure:
        """Both graphs as heat maps, B by its communities and A in matched order."""
        from matplotlib.figure import Figure

        from nacgraph.analysis.comparing import leiden_labels
        from nacgraph.viz import heat_map

        seed, permutation = self["seed"], self["matched_distance"].get("permutation")
        p_a, p_b = self.links
        show_b = np.argsort(leiden_labels(p_b, seed), kind="stable")
        if permutation is None:
            show_a = np.argsort(leiden_labels(p_a, seed), kind="stable")
        else:
            show_a = np.asarray(permutation)[show_b]
        figure = Figure(figsize=(9.6, 4.8), layout="constrained", dpi=150)
        panels = zip(figure.subplots(1, 2), (p_a, p_b), (show_a, show_b), self["runs"], strict=True)
        for number, (axes, p, order, name) in enumerate(panels):
            heat_map(axes, p[order][:, order], Path(name).name, bar=number == 1)
        return figure

    def save(self, path: Path | str) -> Path:
        """Write the numbers as JSON; returns the path."""
        write_json(Path(path), self.numbers)
        return Path(path)

    def lines(self) -> list[str]:
        """The comparison in a few lines."""
        matched, groups, latent = (
            self[name] for name in ("matched_distance", "communities", "latent_positions")
        )
        raw, random = self["raw_distance"], self["random_circuits"]
        degrees = " / ".join(f"{degree:.2f}" for degree in self["mean_degree"])
        overlap = _shown(groups["ari"], "ARI {value:.3f}")
        if groups["ari"]["value"] is not None:
            overlap += ", " + _shown(groups["ami"], "AMI {value:.3f}")
        settings = "not known of arrays"
        if self["config"] is not None:
            differ = [f"{name} {a}/{b}" for name, (a, b) in self["config"].items()]
            settings = ", ".join(differ) or "no setting"
        rows = [
            ("accuracy", " / ".join(percent(each["value"]) for each in self["accuracy"])),
            ("modules", f"{' / '.join(map(str, self['modules']))}, mean degree {degrees}"),
            ("matched", _shown(matched, "mse {value:.3e}, rms {rms:.4f}")),
            ("as labelled", _shown(raw, "mse {value:.3e}") + _null(raw, "relabelled")),
            ("random", _shown(random, "mse {value:.3e}") + _null(random, "random circuits")),
            ("communities", f"{' / '.join(map(str, groups['counts']))}, overlap {overlap}"),
            ("degrees", _shown(self["degree_distance"], "KS {value:.3f}, p {p:.3g}")),
            ("spectrum", _shown(self["spectral_distance"], "Wasserstein {value:.4f}")),
            ("latent", _shown(latent, "{test}: {value:.3f}, p {p:.3g}, {dimension} dimensions")),
            ("differ in", settings),
        ]
        return [f"{name:<12} {text}" for name, text in rows]


@dataclass(frozen=True)
class _Side:
    """One of the two circuits; ``config`` is None for an array."""

    name: str
    link: np.ndarray
    config: RunConfig | None
    accuracy: dict[str, Any]


def compare(
    a: Run | Path | str | np.ndarray,
    b: Run | Path | str | np.ndarray,
    *,
    seed: int = 0,
    nulls: int = 10,
    progress: Callable[[str, float], None] | None = None,
) -> Comparison:
    """How far the graphs of two circuits are apart, and what chance would make of it.

    Modules are matched where both circuits have as many; degrees, spectrum and latent positions
    are compared without matching.

    Args:
        a: A run, its folder, or link probabilities among processors (U, U).
        b: Another one.
        seed: Seed of everything that is drawn.
        nulls: Random relabellings, and random circuits (of runs only).
        progress: Called with (what is measured, share done).

    Raises:
        ConfigError: If a folder is no run.
        ValueError: If a run has no circuit, a file is damaged, or an array does not hold link
            probabilities.

    Example:
        >>> import numpy as np
        >>> p = np.eye(3) / 2 + 0.5
        >>> compare(p, p[::-1, ::-1], nulls=0)["matched_distance"]["value"]
        0.0
    """
    from nacgraph.analysis.comparing import compare_graphs
    from nacgraph.viz.statistics import undefined

    check_at_least(0, seed=seed, nulls=nulls)
    sides = [_side("a", a), _side("b", b)]
    configs = [side.config for side in sides]
    p_a, p_b = (side.link for side in sides)
    kernel = None
    if configs[0] is not None and configs[1] is not None:
        if not any(config.links_all() for config in configs if config is not None):
            engine = configs[1].nac_config()
            kernel = engine.signature_dim, engine.bandwidth
    found = compare_graphs(p_a, p_b, seed=seed, kernel=kernel, nulls=nulls, progress=progress)
    if None not in configs and kernel is None and len(p_a) == len(p_b):
        reason = "a complete graph has no signatures to draw at random"
        found["random_circuits"] = undefined(reason)
    numbers = {
        "runs": [side.name for side in sides],
        "seed": seed,
        "config": differences(*configs),
        "accuracy": [side.accuracy for side in sides],
        **found,
    }
    return Comparison(numbers, (p_a, p_b))


def read_links(folder: Path) -> np.ndarray:
    """Link probabilities among processors, (U, U), from a run's ``circuit.npz``.

    Raises:
        ValueError: If there is none yet, or one a sample, or it is damaged. Nothing in it is
            run as code.
    """
    from nacgraph.analysis.comparing import check_links

    path = folder / "circuit.npz"
    if not path.is_file():
        raise ValueError(f"{path}: expected the circuit that a finished training writes, got none")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "link_probabilities" not in arrays:
                raise ValueError(f"expected link_probabilities in it, got {', '.join(arrays)}")
            links = arrays["link_probabilities"]
            if links.ndim != 3:
                return check_links(links, "link_probabilities")
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: damaged, or no circuit ({error})") from error
    raise ValueError(
        f"{path}: expected a circuit that all samples share, got a conditional one; see "
        "nacgraph embed"
    )


def differences(a: RunConfig | None, b: RunConfig | None) -> dict[str, list[Any]] | None:
    """The fields in which two configurations differ: ``{field: [A's, B's]}``."""
    if a is None or b is None:
        return None
    first, second = flat(a), flat(b)
    return {
        name: [first.get(name), second.get(name)]
        for name in {**first, **second}
        if name not in NOT_COMPARED and first.get(name) != second.get(name)
    }


def accuracy(folder: Path) -> dict[str, Any]:
    """Test accuracy of a run, from its summary."""
    summary = read_summary(folder)
    try:
        value = float(summary["test_accuracy"])
    except (KeyError, TypeError, ValueError):
        return {"value": None, "reason": "no summary.json with a test accuracy"}
    return {"value": value, "n": summary.get("test_n"), "ci95": summary.get("ci95")}


def _side(name: str, given: Run | Path | str | np.ndarray) -> _Side:
    if not isinstance(given, (Run, Path, str)):
        from nacgraph.analysis.comparing import check_links

        return _Side(name, check_links(given, name), None, {"value": None, "reason": "no run"})
    folder = given.path if isinstance(given, Run) else Path(given)
    config = given.config if isinstance(given, Run) else read_config(folder)
    require_circuit(config, folder)
    return _Side(str(folder), read_links(folder), config, accuracy(folder))


def _shown(value: dict[str, Any], text: str) -> str:
    return f"undefined: {value['reason']}" if value["value"] is None else text.format(**value)


def _null(value: dict[str, Any], what: str) -> str:
    if value["value"] is None or value.get("null_mean") is None:
        return ""
    z = "" if value["z"] is None else f", z {value['z']:.1f}"
    return f" ({what}: {value['null_mean']:.3e}{z})"
