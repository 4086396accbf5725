"""Pictures of runs: training curves, dropping, frames, what modules do, many circuits at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nacgraph.graph.links import DEFAULT_BANDWIDTH
from nacgraph.priors import RingOfCliques
from nacgraph.viz import (
    curves_figure,
    dropping_figure,
    embedding_figure,
    frame_distances,
    frames_figure,
    modules_figure,
    read_frames,
    read_metrics,
    save_animation,
    training_figure,
)
from nacgraph.viz.frames import Frame, chosen_frames

STEPS = np.arange(0.0, 200.0, 10)
METRICS = {
    "step": STEPS,
    "mean_degree": np.linspace(2, 8, 20),
    "prior_loss": np.linspace(0.2, 0.01, 20),
    "isolated": np.zeros(20),
    "val_accuracy": np.where(STEPS % 50 == 0, 0.4, np.nan),
    "task_loss": np.linspace(2, 1, 20),
}


def forming(count: int = 6, n: int = 12, groups: int = 3) -> list[Frame]:
    """Frames from random signatures to groups of like ones."""
    rng = np.random.default_rng(0)
    random = rng.normal(size=(n, 16))
    grouped = rng.normal(size=(groups, 16))[np.arange(n) % groups]
    heads = rng.normal(size=(2, 16))
    return [
        Frame(100 * k, (1 - part) * random + part * grouped, heads)
        for k, part in enumerate(np.linspace(0, 0.95, count))
    ]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes if axes.get_visible()]


def test_every_curve_that_has_numbers_is_shown() -> None:
    figure = training_figure(METRICS, modules=17, floor=0.005, baselines={"majority_class": 0.2})
    assert titles(figure) == [
        "density",
        "prior distance",
        "isolated modules",
        "validation accuracy",
        "training loss",
    ]
    density, prior, _, accuracy, _ = figure.axes[:5]
    np.testing.assert_allclose(density.lines[0].get_ydata(), METRICS["mean_degree"] / 16)
    assert prior.lines[1].get_ydata()[0] == 0.005 and prior.get_yscale() == "log"
    np.testing.assert_array_equal(accuracy.lines[0].get_xdata(), [0, 50, 100, 150])
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), 40)
    assert accuracy.texts[0].get_text() == "majority class"


def test_missing_and_empty_columns_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss,task_loss,mean_degree\n1,2.0,1.5,\n2,1.0,0.5,\n")
    assert titles(training_figure(path)) == ["training loss"]
    assert titles(training_figure({k: METRICS[k] for k in ("step", "mean_degree")})) == [
        "mean degree"
    ]
    with pytest.raises(ValueError, match="metrics: expected a column 'step'"):
        training_figure({"loss": STEPS})
    with pytest.raises(ValueError, match="metrics: expected numbers in one of"):
        training_figure({"step": STEPS, "isolated": np.full(20, np.nan)})
    with pytest.raises(ValueError, match="expected 20 rows of task_loss, got 3"):
        training_figure({"step": STEPS, "task_loss": np.ones(3)})


def test_curves_of_several_runs() -> None:
    figure = curves_figure({"a": METRICS, "b": METRICS}, {"majority": 0.1})
    assert [len(axes.lines) for axes in figure.axes] == [3, 2]


def test_many_curves_are_told_apart_beside_their_names() -> None:
    figure = curves_figure({f"run {k}": METRICS for k in range(19)}, {})
    for axes in figure.axes:
        looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
        assert len(looks) == 19
    figure.canvas.draw()
    losses = figure.axes[1]
    assert losses.get_legend().get_window_extent().x0 >= losses.get_window_extent().x1


def test_metrics_are_columns_with_nan_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,val_accuracy\n1,\n2,0.5\n")
    np.testing.assert_array_equal(read_metrics(path)["val_accuracy"], [np.nan, 0.5])
    path.write_text("step,val_accuracy\n1\n2,0.5\n")
    with pytest.raises(ValueError, match="expected rows of 2 numbers"):
        read_metrics(path)


def dropped(model: str, order: str, keep: float, accuracy: float | None, **more: Any) -> dict:
    return {"model": model, "order": order, "keep": keep, "accuracy": accuracy, **more}


def test_dropping_has_a_line_an_order_and_a_band_over_seeds() -> None:
    rows = [
        dropped("nac", "degree", 1.0, 0.5, ci_low=0.45, ci_high=0.55, milliseconds=80),
        dropped("nac", "degree", 0.125, 0.4, milliseconds=10),
        *(dropped("nac", "random", 0.125, a, seed=s) for s, a in enumerate((0.1, 0.2, 0.3))),
        dropped("perceiver_io", "random", 1.0, 0.45, milliseconds=90),
    ]
    figure = dropping_figure(rows, majority=0.17)
    accuracy, latency, speed = figure.axes
    by_degree, at_random, rival, majority = accuracy.lines
    np.testing.assert_allclose(by_degree.get_xydata(), [[100, 50], [12.5, 40]])
    np.testing.assert_allclose(at_random.get_xydata(), [[12.5, 20]])
    np.testing.assert_allclose(rival.get_xydata(), [[100, 45]])
    assert majority.get_ydata()[0] == pytest.approx(17)
    band = accuracy.collections[1].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((10, 30))
    np.testing.assert_allclose(latency.lines[0].get_ydata(), [80, 10])
    np.testing.assert_allclose(speed.lines[0].get_ydata(), [1, 8])
    assert speed.texts[0].get_text() == "8.0 ×"
    # All modules at the left, half as many one step to the right.
    left, right = accuracy.get_xlim()
    assert left > right and accuracy.get_xscale() == "log"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["NAC, by degree", "NAC, at random (3 seeds)", "Perceiver IO, at random"]


def test_dropping_without_times_or_numbers() -> None:
    assert len(dropping_figure([dropped("nac", "degree", 1.0, 0.5)]).axes) == 1
    nothing = dropping_figure([dropped("nac", "degree", 1.0, None)])
    assert not nothing.axes[0].lines and not nothing.legends
    nothing.canvas.draw()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "rows: expected at least one"),
        (
            [{"model": "nac", "keep": 1.0}],
            r"rows\[0\]: expected model, order and keep, got no order",
        ),
        ([dropped("nac", "degree", 0.0, 0.5)], r"rows\[0\]: expected keep in \(0, 1\], got 0"),
    ],
)
def test_rows_that_say_nothing_are_refused(rows: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dropping_figure(rows)


def write_frames(folder: Path, frames: list[Frame]) -> None:
    (folder / "frames").mkdir()
    for frame in frames:
        np.savez(
            folder / "frames" / f"step_{frame.step:08d}.npz",
            processor_signatures=frame.processor_signatures.astype(np.float32),
            readout_signatures=frame.readout_signatures.astype(np.float32),
        )


def test_frames_come_back_by_step(tmp_path: Path) -> None:
    written = forming()
    write_frames(tmp_path, written[::-1])
    frames = read_frames(tmp_path, DEFAULT_BANDWIDTH)
    assert [frame.step for frame in frames] == [0, 100, 200, 300, 400, 500]
    np.testing.assert_allclose(frames[2].probability(), written[2].probability(), atol=1e-6)
    assert frames[0].readout_probability().shape == (2, 12)
    assert read_frames(tmp_path, bandwidth=1.0)[0].bandwidth == 1.0


def test_p_of_a_frame_is_that_of_the_kernel() -> None:
    import torch

    from nacgraph.graph.links import link_probabilities

    frame = forming()[1]
    signatures = torch.from_numpy(frame.processor_signatures)
    wanted = link_probabilities(signatures, signatures, frame.bandwidth)
    np.testing.assert_allclose(frame.probability(), wanted, atol=1e-12)
    heads = torch.from_numpy(frame.readout_signatures)
    wanted = link_probabilities(heads, signatures, frame.bandwidth)
    np.testing.assert_allclose(frame.readout_probability(), wanted, atol=1e-12)


def test_damaged_frames_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected frames/step_\*\.npz, got none"):
        read_frames(tmp_path, DEFAULT_BANDWIDTH)
    write_frames(tmp_path, forming())
    path = tmp_path / "frames" / "step_00000200.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"step_00000200\.npz: expected a frame with signatures"):
        read_frames(tmp_path, DEFAULT_BANDWIDTH)
    np.savez(path, processor_signatures=np.array([{}], dtype=object))  # needs pickle
    with pytest.raises(ValueError, match=r"step_00000200\.npz: expected a frame"):
        read_frames(tmp_path, DEFAULT_BANDWIDTH)
    np.savez(path, processor_signatures=np.ones((5, 16)), readout_signatures=np.ones((2, 16)))
    with pytest.raises(ValueError, match=r"expected signatures \(12, 16\) as in the first"):
        read_frames(tmp_path, DEFAULT_BANDWIDTH)


def test_frames_keep_order_and_count_links() -> None:
    frames = forming()
    order = np.argsort(np.arange(12) % 3, kind="stable")
    figure = frames_figure(frames, order, most=4, distances=np.linspace(1, 0, 6))
    above, below = figure.axes[:4], figure.axes[4:8]
    assert above[0].get_title("left") == "step 0" and above[-1].get_title("left") == "step 500"
    last = frames[-1].probability()
    np.testing.assert_allclose(above[-1].images[0].get_array(), last[np.ix_(order, order)])
    drawn = len(below[-1].collections[0].get_segments())
    assert drawn == int((np.triu(last, 1) > 0.5).sum()) > 0
    first, final = (axes.collections[1].get_offsets() for axes in (below[0], below[-1]))
    np.testing.assert_array_equal(first, final)  # the same places in every frame
    assert above[-1].get_xlabel() == "prior distance 0"
    chosen = frames_figure(frames, steps=[100, 300])
    assert [axes.get_title("left") for axes in chosen.axes[:2]] == ["step 100", "step 300"]


def test_chosen_frames_follow_the_change() -> None:
    frames = forming(20)
    # A circuit at rest after frame 4.
    still = frames[:4] + [
        Frame(f.step, frames[4].processor_signatures, f.readout_signatures) for f in frames[4:]
    ]
    for given in (frames, still):
        found = chosen_frames(given, 6)
        assert found == sorted(set(found)) and len(found) == 6
        assert (found[0], found[-1]) == (0, 19)
    assert sum(k <= 4 for k in chosen_frames(still, 6)) > sum(
        k <= 4 for k in chosen_frames(frames, 6)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": [7]}, "steps: expected some of"),
        ({"order": [0] * 12}, r"order: expected a permutation of 0\.\.11"),
        ({"distances": [0.1]}, "distances: expected 6 numbers, got 1"),
        ({"positions": np.zeros((3, 2))}, r"positions: expected \(12, 2\)"),
    ],
)
def test_frames_that_do_not_fit_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frames_figure(forming(), **arguments)


def test_frame_distances_end_in_the_last_match() -> None:
    frames = forming(3)
    target = RingOfCliques(4).edge_probabilities(12)
    distances, order = frame_distances(frames, target)
    assert len(distances) == 3 and distances[0] > distances[-1]
    apart = (frames[-1].probability()[np.ix_(order, order)] - target.numpy()) ** 2
    assert distances[-1] == pytest.approx(apart[~np.eye(12, dtype=bool)].mean())


def test_the_animation_has_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "forming.gif"
    frames = forming(3)
    save_animation(frames, path, labels=np.arange(12) % 3, between=1, dpi=30, rate=10, hold=3)
    with Image.open(path) as gif:
        assert gif.n_frames == 5 and gif.info["loop"] == 0  # three frames, one between each two
        lengths = []
        for k in range(gif.n_frames):
            gif.seek(k)
            lengths.append(gif.info["duration"])
            if k in (0, 4):  # an opaque, white ground
                assert gif.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    assert lengths == [100, 100, 100, 100, 3000]
    first = path.read_bytes()
    save_animation(frames, path, labels=np.arange(12) % 3, between=1, dpi=30, rate=10, hold=3)
    assert path.read_bytes() == first
    with pytest.raises(ValueError, match=r"path: expected a name that ends in \.gif"):
        save_animation(frames, tmp_path / "forming.mp4")
    with pytest.raises(ValueError, match="frames: expected at least one"):
        save_animation([], path)


def test_an_embedding_has_a_panel_a_perplexity() -> None:
    places = np.random.default_rng(0).normal(size=(8, 2))
    figure = embedding_figure({2: places, 3: places}, list(range(8)))
    assert titles(figure)[:2] == ["perplexity 2", "perplexity 3"]
    assert [len(axes.collections[0].get_offsets()) for axes in figure.axes[:2]] == [8, 8]
    named = embedding_figure({2: places}, ["ring"] * 5 + ["none"] * 3, label_name="prior")
    assert [len(c.get_offsets()) for c in named.axes[0].collections] == [5, 3]
    with pytest.raises(ValueError, match=r"points: expected \(7, 2\), got shape \(8, 2\)"):
        embedding_figure({2: places}, list(range(7)))
    with pytest.raises(ValueError, match="points: expected at least one perplexity, got none"):
        embedding_figure({}, [])


def test_what_modules_do_in_four_panels() -> None:
    rng = np.random.default_rng(0)
    link = forming(2)[1].probability()
    attention = rng.dirichlet(np.ones(5), 12)
    table = [{"degree": float(k), "community": k % 3, "accuracy_lost": 0.01 * k} for k in range(12)]
    figure = modules_figure(
        {
            "code_similarity": link,  # codes that follow the links exactly
            "P": link,
            "token_attention": attention,
            "token_names": ["[MAX", "[MIN", "]", "1", "2"],
            "modules": table,
            "readouts": [{"confidence": 0.7}, {"confidence": 0.3}],
        }
    )
    named = [title for title in titles(figure) if title]
    assert named == [
        "codes of pairs: rank correlation 1.00",
        "what modules read",
        "modules removed: rank correlation 1.00",
        "confidence of read-outs",
    ]
    codes, reading, lost, confidence = figure.axes[:4]
    assert len(codes.collections[0].get_offsets()) == 12 * 11 // 2
    shown = reading.images[0].get_array()
    communities = [k % 3 for k in range(12)]
    order = sorted(range(12), key=lambda k: (communities[k], attention[k].argmax()))
    np.testing.assert_allclose(shown, attention[order])
    np.testing.assert_allclose(lost.collections[0].get_offsets()[:, 1], np.arange(12))
    assert [bar.get_height() for bar in confidence.patches] == [0.7, 0.3]


def test_what_is_not_known_of_modules_is_left_out() -> None:
    figure = modules_figure(
        {"modules": [{"degree": 1.0, "accuracy_lost": None, "loss_gained": 1.0}]}
    )
    assert titles(figure) == ["modules removed: rank correlation undefined"]
    assert figure.axes[0].get_ylabel() == "loss gained without it"
    with pytest.raises(ValueError, match="stats: expected code_similarity with P"):
        modules_figure({"modules": [{"degree": 1.0}]})
    with pytest.raises(ValueError, match="token_names: expected 2, got 1"):
        modules_figure({"token_attention": np.ones((3, 2)), "token_names": ["a"]})
    with pytest.raises(ValueError, match=r"code_similarity: expected a \(2, 2\) matrix"):
        modules_figure({"code_similarity": np.eye(3), "P": np.eye(2)})
