"""The circuits of a conditional run as points, and how they go with tags of the samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacgraph.analysis.populations.gathering import Population, gather, tag_words
from nacgraph.analysis.populations.points import embed_circuits
from nacgraph.analysis.populations.separation import components, separation, variation
from nacgraph.training.build import build_nac, without_start
from nacgraph.utils.check import check_at_least
from nacgraph.utils.result import Result, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nacgraph.training.run import Run

GIVEN = ("sentence", "text", "caption", "question")  # tags that say what a sample was given
GROUPS = 6  # words of which circuits are drawn, the most common ones


@dataclass(frozen=True, eq=False, repr=False)
class Embedding(Result):
    """What :func:`embed` found: the measures as a mapping, the circuits, and pictures of them.

    Attributes:
        numbers: "trained" and "untrained" circuits' measures, and what they were measured on.
        population: The circuits.
        tags: By name, the word of each circuit's sample.
        places: Places of the circuits in the plane, by perplexity.
        drawn: Circuits drawn of each word.
    """

    population: Population
    tags: Mapping[str, Sequence[str]]
    places: Mapping[float, Any]
    drawn: int

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the pictures."""
        return "figure6", "circuits"

    def figure(self, name: str = "figure6") -> Figure:
        """The circuits as points ("figure6"), or some of them drawn ("circuits").

        Raises:
            ValueError: If there is no picture of this name.
        """
        from nacgraph.viz.populations import circuits_figure, population_figure

        color = self["color"]
        words = self.tags[color]
        if name == "figure6":
            return population_figure(self.places, words, color)
        if name != "circuits":
            raise ValueError(f"figure: expected one of {', '.join(self.figures)}, got {name!r}")
        chosen = examples(words, self.drawn)
        texts = next((self.tags[tag] for tag in GIVEN if tag in self.tags), None)
        rows = self.population.rows
        titles = [f"sample {rows[k]}" if texts is None else texts[k] for k in chosen]
        links = list(self.population.links[chosen])
        return circuits_figure(links, titles, [words[k] for k in chosen], self.drawn)

    def points(self) -> list[dict[str, Any]]:
        """A row for each circuit: its sample, the sample's tags, its places."""
        return [
            {
                "row": int(row),
                **{name: words[k] for name, words in self.tags.items()},
                **{
                    f"tsne_{p:g}": [round(float(x), 4) for x in places[k]]
                    for p, places in self.places.items()
                },
            }
            for k, row in enumerate(self.population.rows)
        ]

    def save(self, folder: Path | str) -> Path:
        """Write ``embed.json`` and both pictures, as SVG and PNG; returns the folder."""
        from nacgraph.viz import save

        out = Path(folder)
        write_json(out / "embed.json", {**self.numbers, "points": self.points()})
        for name in self.figures:
            figure = self.figure(name)
            for suffix in ("svg", "png"):
                save(figure, out / f"{name}.{suffix}")
        return out

    def lines(self) -> list[str]:
        """The measures as a table, the trained circuits beside those of the untrained model."""
        names = f"{'silhouette':>20} {'5 neighbours':>30} {'centroid':>30} majority"
        varying = 100 * self["trained"]["links_in_some"]
        rows = [
            f"circuits   {self['circuits']} different ones among {self['samples']} samples; "
            f"{varying:.1f} % of links in some but not all",
            f"{'tag':<12} {'':<10} {names}",
        ]
        for name, trained in self["trained"]["tags"].items():
            untrained = self["untrained"]
            untrained = untrained.get("tags", {}).get(name, untrained)
            rows += [_row(name, "trained", trained), _row(name, "untrained", untrained)]
        return rows


def embed(
    run: Run,
    *,
    color: str = "label",
    samples: int = 500,
    split: str = "test",
    perplexities: Sequence[float] = (5.0, 30.0, 50.0),
    permutations: int = 1000,
    drawn: int = 3,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Embedding:
    """The circuits of a conditional run's samples: as points, and how they go with tags.

    Every tag of the task's samples is measured, in the trained model and in the same model before
    training: alike sentences make alike circuits in any network, and what training adds is what
    goes beyond that.

    Args:
        run: A run whose circuits differ by sample.
        color: The tag that colours the pictures, such as "skill"; "label" is always one.
        samples: Samples of the split.
        split: "val" or "test".
        perplexities: Of t-SNE, one panel each.
        permutations: Of the tags, for p-values.
        drawn: Circuits drawn of each word of the tag.
        seed: Seed of permutations and t-SNE.
        progress: Called with (what is done, share done).

    Raises:
        ValueError: If the run is not conditional, its circuits are all the same, the task has no
            such tag, or an argument is out of range.
    """
    check_at_least(4, samples=samples)
    check_at_least(1, permutations=permutations, drawn=drawn)
    check_at_least(0, seed=seed)
    if not perplexities or not all(0 < p < float("inf") for p in perplexities):
        raise ValueError(f"perplexities: expected numbers > 0, got {list(perplexities)}")
    tell = progress or (lambda what, share: None)
    task, config, checkpoint = run.task, run.config, run.checkpoint
    sampled = split, samples, config.precision
    population = gather(run.circuit, task, *sampled, progress=progress)
    tags = tag_words(task, split, population)
    if color not in tags:
        raise ValueError(f"color: expected one of {', '.join(tags)}, got {color!r}")
    count = len(population.rows)
    perplexities = sorted(set(perplexities))
    if perplexities[-1] >= count:
        raise ValueError(
            f"perplexities: expected less than the {count} different circuits, "
            f"got {perplexities[-1]:g}"
        )

    def measures(found: Population) -> dict[str, Any]:
        points = components(found.links)
        table = {}
        for k, (name, words) in enumerate(tags.items()):
            tell("permutations", k / len(tags))
            table[name] = separation(points, words, permutations, seed)
        return {**variation(found.links), "tags": table}

    numbers = {
        "run": str(run.path),
        "checkpoint": {"name": checkpoint.path.name, "step": checkpoint.state["step"]},
        "data": task.describe(),
        "split": split,
        "samples": population.samples,
        "circuits": count,
        "color": color,
        "seed": seed,
        "permutations": permutations,
        "trained": measures(population),
    }
    untrained = build_nac(without_start(config), task, None)
    try:
        numbers["untrained"] = measures(gather(untrained, task, *sampled, progress=progress))
    except ValueError as error:
        numbers["untrained"] = {"value": None, "reason": str(error)}
    places = {}
    for k, perplexity in enumerate(perplexities):
        tell(f"t-SNE: perplexity {perplexity:g}", k / len(perplexities))
        places[perplexity] = embed_circuits(population.links, perplexity, seed)
    return Embedding(numbers, population, tags, places, drawn)


def examples(words: Sequence[str], each: int) -> list[int]:
    """Places of the first ``each`` samples of each of the most common words, word by word."""
    common = sorted(word for word, _ in Counter(words).most_common(GROUPS))
    return [k for word in common for k in [i for i, w in enumerate(words) if w == word][:each]]


def _row(name: str, which: str, found: Mapping[str, Any]) -> str:
    if "reason" in found:
        return f"{name:<12} {which:<10} undefined: {found['reason']}"
    silhouette, near, middle = (found[kind] for kind in ("silhouette", "neighbours", "centroid"))
    guessed = "".join(
        f" {100 * each['value']:>5.1f} % (chance {100 * each['chance']:.1f}) p {each['p']:<8.3g}"
        for each in (near, middle)
    )
    return (
        f"{name:<12} {which:<10} {silhouette['value']:>+9.3f} p {silhouette['p']:<8.3g}"
        f"{guessed} {100 * found['majority']:.1f} %"
    )
