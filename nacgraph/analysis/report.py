"""The report of an analysis: one HTML page with its numbers and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacgraph.analysis.gallery import Gallery
from nacgraph.utils.commands import command_line
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import percent

if TYPE_CHECKING:
    from nacgraph.training.config import RunConfig
    from nacgraph.viz.report import Picture, ReportData


def write(
    gallery: Gallery,
    path: Path,
    pictures: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Draw all pictures and write the page; see :meth:`nacgraph.analysis.Analysis.report`."""
    from nacgraph.viz import INK, save, to_svg
    from nacgraph.viz.report import Picture, write_report

    tell = progress or (lambda what, share: None)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    drawn, notes = [], []
    todo = gallery.drawings
    for k, (name, drawing) in enumerate(todo.items()):
        tell("drawing", k / (len(todo) + 1))
        try:
            figure = drawing.draw()
        except ValueError as error:  # a circuit too small, a damaged file: said, not fatal
            notes.append(f"not drawn: {drawing.title} ({error})")
            continue
        if pictures is not None:
            save(figure, pictures / f"{name}.png")
        text = to_svg(figure, f"fig-{name}", drawing.title)
        if pictures is not None:  # outside a page there is no text colour to take
            alone = text.replace("currentColor", INK)
            write_atomically(pictures / f"{name}.svg", alone.encode())
        drawn.append(Picture(name, drawing.title, drawing.caption, text))
    if pictures is not None:
        try:
            gallery.animate(pictures / "forming.gif")
        except ValueError as error:
            notes.append(f"not drawn: the animation ({error})")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(path, report_data(gallery, drawn, notes))
    tell("drawing", 1.0)
    return path


def report_data(gallery: Gallery, pictures: list[Picture], notes: list[str]) -> ReportData:
    """All that the page shows."""
    from nacgraph.viz.report import ReportData

    run, stats = gallery.run, gallery.stats
    config = run.config
    under = "" if config.prior.name == "none" else f" under {config.prior.name}"
    commands = [
        ("analyze", run.path, "--html"),
        ("prune", run.path, "--curve"),
        ("prune", run.path, "--keep", "0.2"),
        ("export", run.path, "--format", "onnx"),
    ]
    return ReportData(
        title=f"{config.model_name} on {config.task.name}{under}",
        facts=key_facts(config, stats),
        statistics=stats,
        probability=gallery.link,
        readout_probability=gallery.readout_link,
        positions=gallery.positions,
        readout_positions=gallery.readout_positions,
        order=gallery.order.tolist(),
        target=gallery.target,
        pictures=pictures,
        notes=[*stats["notes"], *stats["summary"].get("warnings", []), *notes],
        commands=[command_line(*words, plugins=run.plugins) for words in commands],
    )


def key_facts(config: RunConfig, stats: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines at the top of the report: name and value."""
    summary = stats["summary"]
    found = [("Run", stats["run"])]
    if summary.get("test_accuracy") is not None:
        text = percent(summary["test_accuracy"])
        if summary.get("ci95"):
            low, high = map(percent, summary["ci95"])
            text += f" of {summary['test_n']} (95 %: {low} to {high})"
        found.append(("Test accuracy", text))
    elif summary.get("val_accuracy") is not None:
        found.append(("Validation accuracy", percent(summary["val_accuracy"])))
    for key, name in (
        ("majority_accuracy", "Majority class"),
        ("root_operator_accuracy", "Root operator"),
    ):
        if summary.get(key) is not None:
            found.append((name, percent(summary[key])))
    engine = config.nac_config()
    sizes = (
        f"{engine.modules} processors, {engine.readouts} read-outs, "
        f"{engine.rounds} rounds, width {engine.width}"
    )
    found.append(("Modules", sizes))
    if summary.get("parameters"):
        found.append(("Parameters", f"{summary['parameters']:,}"))
    if pruned := summary.get("pruned"):
        found.append(("Pruned", f"from {pruned['modules_before']} modules by {pruned['order']}"))
    if summary.get("prior_loss") is not None:
        text = f"{summary['prior_loss']:.4f}"
        if summary.get("prior_floor") is not None:
            text += f" (reachable floor {summary['prior_floor']:.4f})"
        found.append((f"Distance to {config.prior.name}", text))
    if summary.get("data"):
        found.append(("Data", summary["data"]))
    return [*found, ("Weights", f"step {stats['checkpoint']['step']}, seed {config.seed}")]
