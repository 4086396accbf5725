"""A run in Python: what it knows of itself, what it answers, how it is loaded."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from images_on_disk import class_folders
from small_run import SIZES, forget_plugins, metrics

import nacgraph
from nacgraph.__main__ import main
from nacgraph.tasks.points.solids import POINTS
from nacgraph.training.run import load_run

CONDITIONAL = {**SIZES, "task": "nlvr2", "batch_size": 4, "steps": 2}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> nacgraph.Run:
    """A small trained circuit that starts near its prior, so that it has links."""
    out = tmp_path_factory.mktemp("runs") / "a run"
    more = {"signature_start": "prior", "progress": False}
    return nacgraph.fit("listops", "ring_of_cliques", out=out, cache_dir=cache, **more, **SIZES)


def test_it_knows_its_results(run: nacgraph.Run) -> None:
    assert run.summary == json.loads((run.path / "summary.json").read_text("utf-8"))
    assert run.config.modules == 6 and run.task.num_classes == 10
    assert run.checkpoint.path.name == "best.json" and not run.model.training
    percent = 100 * run.summary["test_accuracy"]
    assert f"nac on listops, prior ring_of_cliques, 6 modules, test {percent:.1f} %" in repr(run)
    html = run._repr_html_()
    assert "a run</b>" in html and "43 samples" in html and "data:image/png;base64," in html


def test_metrics_are_columns_with_or_without_pandas(
    run: nacgraph.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    columns, rows = run.metrics, metrics(run.path)
    assert columns["step"].tolist() == list(range(1, 13)) == [int(row["step"]) for row in rows]
    np.testing.assert_allclose(columns["loss"], [float(row["loss"]) for row in rows])
    assert np.isfinite(columns["val_accuracy"]).nonzero()[0].tolist() == [5, 11]
    monkeypatch.undo()
    pandas = pytest.importorskip("pandas")
    frame = run.metrics
    assert isinstance(frame, pandas.DataFrame) and list(frame.columns) == list(columns)
    np.testing.assert_array_equal(frame["val_loss"], columns["val_loss"])


def test_its_circuit_is_that_of_the_model_in_every_form(run: nacgraph.Run) -> None:
    with torch.no_grad():
        wanted = run.model(run.task.train_batch(0)).link.numpy()
    np.testing.assert_allclose(run.link, wanted, atol=1e-6)
    with np.load(run.path / "circuit.npz") as arrays:
        np.testing.assert_allclose(run.link, arrays["link_probabilities"], atol=1e-6)
    assert (np.diag(run.link) == 1).all() and run.link.dtype == np.float32
    data, graph = run.to_data(threshold=0.3), run.graph(threshold=0.3)
    among = {(j, i) for i in range(6) for j in range(6) if i != j and run.link[i, j] > 0.3}
    assert among == {(j, i) for j, i in graph.edges if i < 6} != set()
    assert set(map(tuple, data.edge_index.t().tolist())) == set(graph.edges)
    assert run.design.bandwidth == run.circuit.config.bandwidth


def test_a_fresh_model_warns_that_it_has_no_edges(run: nacgraph.Run) -> None:
    from nacgraph.models.config import NACConfig

    model = nacgraph.NAC(NACConfig(modules=8, width=16), run.task.tokenizer(16), 10)
    with pytest.warns(UserWarning, match="no edges: no link has P > 0.5, the highest is 0"):
        data = model.design().to_data()
    assert data.num_edges == 0 and data.num_nodes == 8 + model.config.readouts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.design().to_data(min_probability=0.01).num_edges > 0


def test_a_plain_call_trains_too(run: nacgraph.Run) -> None:
    model = load_run(run.path).model.train()
    torch.manual_seed(1)
    one = model(run.task.train_batch(0)).logits
    torch.manual_seed(1)
    assert torch.equal(model(run.task.train_batch(0)).logits, one)
    assert not torch.equal(model(run.task.train_batch(0)).logits, one)


def test_evaluate_is_what_the_command_prints(
    run: nacgraph.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run.evaluate(by=["root"])
    assert found.accuracy == run.summary["test_accuracy"] and found.n == 43
    assert main(["evaluate", str(run.path), "--by", "root"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.as_dict()))
    assert run.evaluate(split="val").accuracy == run.summary["val_accuracy"]
    assert run.evaluate(batch_size=5).accuracy == found.accuracy
    with pytest.raises(ValueError, match="by: expected one of root, .* for task listops"):
        run.evaluate(by="roots")


def test_evaluate_on_a_file(run: nacgraph.Run, tmp_path: Path) -> None:
    file = tmp_path / "some.tsv"
    file.write_bytes(b"Source\tTarget\r\n( ( ( [MAX 4 ) 3 ) ] )\t4\r\n")
    found = run.evaluate(file)
    assert (found.n, found.data) == (1, str(file))
    answer = run.predict(["[MAX 4 3 ]"])
    assert found.accuracy == (answer.classes == ["4"])
    assert found.loss == pytest.approx(-np.log(answer.probabilities[0, 4]), rel=1e-5)


def agree(run: nacgraph.Run, samples: list, labels: np.ndarray, accuracy: float) -> None:
    """What a run predicts of raw samples is as accurate as what it scores."""
    answers = run.predict(samples)
    assert np.mean(answers.labels == labels) == accuracy
    np.testing.assert_allclose(answers.probabilities.sum(-1), 1, rtol=1e-5)
    assert len(answers) == len(samples)
    assert [name for name, _ in answers] == answers.classes


def test_predictions_of_listops_agree_with_the_score(run: nacgraph.Run) -> None:
    from nacgraph.tasks import ListOps
    from nacgraph.tasks.listops.tsv import source_text

    assert isinstance(run.task, ListOps)
    rows = run.task.split("test")
    texts = [source_text(rows.row(k)) for k in range(len(rows))]
    agree(run, texts, rows.labels, run.summary["test_accuracy"])
    batch = run.task.encode(texts[:3])  # there and back
    for k in range(3):
        assert torch.equal(batch.inputs[k][batch.mask[k]], torch.tensor(rows.row(k)).long())
    said = repr(run.predict(texts))
    assert said.startswith("Predictions(") and "… 43 in all" in said
    assert len(run.predict([])) == 0


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (["[MAX 2 9 ]", "[MAXX 2 ]"], r"sample 1: expected symbols among .*, got '\[MAXX'"),
        (["[MAX 2"], "sample 0: expected one list that is closed, got 1 that is not closed"),
        (
            ["[MAX 2 ] ]"],
            "sample 0: expected one list that is closed, got 1 symbols behind its end",
        ),
        (["5"] * 10 + [" "], "sample 10: expected a text as .*, got an empty text"),
        ([7], "sample 0: expected a text as .*, got int"),
        (["[MAX " + "1 " * 40 + "]"], "sample 0: expected at most 19 symbols, .* got 42"),
        (None, "samples: expected a list of them, got one NoneType"),
        ("[MAX 2 9 ]", r"samples: expected a list of them, got one str; .* give \[sample\]"),
    ],
)
def test_a_sample_that_is_none_is_named(run: nacgraph.Run, samples: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run.predict(samples)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_one_clear_line(
    run: nacgraph.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device: expected a CUDA device, got none; use cpu"):
        run.evaluate(device="cuda")
    with pytest.raises(ValueError, match="device: expected one of auto, cpu, cuda, got 'tpu'"):
        run.predict(["[MAX 2 9 ]"], device="tpu")


def test_a_threshold_is_a_probability(run: nacgraph.Run) -> None:
    for threshold in (-0.1, 2, "0.5"):
        with pytest.raises(
            ValueError, match=r"min_probability: expected a probability in \[0, 1\]"
        ):
            run.to_data(threshold)  # type: ignore[arg-type]


def small(task: str, out: Path, **more: object) -> nacgraph.Run:
    sizes = {k: v for k, v in SIZES.items() if not k.endswith("_size") or k == "batch_size"}
    fixed = {"steps": 2, "prior": "none", "progress": False}
    return nacgraph.fit(task, out=out, **{**sizes, **fixed, **more})  # type: ignore[arg-type]


def test_predictions_of_texts(tmp_path: Path) -> None:
    run = small("text", tmp_path / "run", task_set={"bytes": 30, "sentences": 200})
    table = run.task.table("test")  # type: ignore[attr-defined]
    texts = [text.decode() for text in table.columns["text"]]
    agree(run, texts, table.labels, run.summary["test_accuracy"])
    assert run.predict([texts[0].encode()]).classes == run.predict([texts[0]]).classes
    for bad, message in (([""], "got an empty one"), ([3], "expected a text, got int")):
        with pytest.raises(ValueError, match=f"sample 0: .*{message}"):
            run.predict(bad)


def test_predictions_of_images(tmp_path: Path) -> None:
    from PIL import Image

    run = small("images", tmp_path / "run")
    table = run.task.table("test")  # type: ignore[attr-defined]
    arrays = list(table.columns["images"])
    agree(run, arrays, table.labels, run.summary["test_accuracy"])
    Image.fromarray(arrays[0][..., 0]).save(tmp_path / "one.png")
    forms = [tmp_path / "one.png", arrays[0][..., 0] / 255, torch.from_numpy(arrays[0])]
    probabilities = run.predict([arrays[0], *forms]).probabilities
    np.testing.assert_allclose(probabilities[1:], probabilities[:1].repeat(3, 0), atol=1e-6)
    large = np.kron(arrays[0][..., 0], np.ones((3, 3), np.uint8))  # brought to the run's size
    assert run.predict([large]).probabilities.shape == (1, 10)
    (tmp_path / "no.png").write_text("no picture")
    for bad, message in (
        (tmp_path / "gone.png", "expected an image file, got .*gone.png, which is not there"),
        (tmp_path / "no.png", "no.png: expected an image, got"),
        (16.0 * arrays[0], "floats from 0 to"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"an array of shape \(2, 3, 8, 8\)"),
        (np.zeros((8, 8), np.int64), "an array of int64"),
        (None, "expected a file, or an array"),
    ):
        with pytest.raises(ValueError, match=f"sample 1: .*{message}"):
            run.predict([arrays[0], bad])


def test_files_of_a_folder_are_answered_as_they_are_scored(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "pictures")
    run = small("images", tmp_path / "run", data=folder, batch_size=4, cache_dir=tmp_path / "c")
    files = sorted(folder.rglob("*.png")) + sorted(folder.rglob("*.jpg"))
    answers = run.predict(files)
    batch = run.task.encode(files)
    assert len(answers) == len(files) == len(batch)
    assert set(answers.classes) <= set(run.task.classes or ())


def test_predictions_of_points(tmp_path: Path) -> None:
    # As many points as clouds have: a choice of them would not be normalised by itself.
    fixed = {"count": POINTS, "solids": 20, "resample": False}
    run = small("points", tmp_path / "run", task_set=fixed)
    table = run.task.table("test")  # type: ignore[attr-defined]
    clouds = list(table.columns["points"])
    agree(run, clouds, table.labels, run.summary["test_accuracy"])
    moved = run.predict([5 * clouds[0].astype(float) + 3]).probabilities
    np.testing.assert_allclose(moved, run.predict(clouds[:1]).probabilities, atol=1e-4)
    many = np.random.default_rng(0).normal(size=(POINTS + 30, 3))
    one, other = run.predict([many]), run.predict([clouds[0], many])
    np.testing.assert_allclose(one.probabilities[0], other.probabilities[1], atol=1e-6)
    for bad, message in (
        (np.zeros((10, 3)), rf"at least {POINTS} points, got shape \(10, 3\)"),
        (np.full((POINTS, 3), np.nan), "expected finite coordinates, got nan"),
        ("cloud", "got str"),
    ):
        with pytest.raises(ValueError, match=f"sample 0: .*{message}"):
            run.predict([bad])


def test_predictions_of_pairs_of_images(tmp_path: Path) -> None:
    run = small("nlvr2", tmp_path / "run", train_size=40, val_size=8, test_size=8)
    columns = (table := run.task.table("test")).columns  # type: ignore[attr-defined]
    pairs = zip(columns["left"], columns["right"], columns["sentence"], strict=True)
    samples = [(a.transpose(1, 2, 0), b.transpose(1, 2, 0), said) for a, b, said in pairs]
    agree(run, samples, table.labels, run.summary["test_accuracy"])
    with pytest.raises(ValueError, match=r"sample 0: expected \(image, image, sentence\), got str"):
        run.predict(["a sentence"])
    with pytest.raises(ValueError, match="sample 0: expected a sentence of at least one word"):
        run.predict([(*samples[0][:2], " ")])
    with pytest.raises(ValueError, match="design: expected a circuit that all samples share"):
        _ = run.link
    assert "img" not in run._repr_html_()


def test_a_model_without_a_circuit_is_a_run_too(cache: Path, tmp_path: Path) -> None:
    run = small("listops", tmp_path / "run", model="transformer", cache_dir=cache)
    assert run.predict(["5"]).probabilities.shape == (1, 10)
    assert "<img" not in run._repr_html_() and "modules" not in repr(run)
    for look in ("link", "design", "circuit"):
        with pytest.raises(ValueError, match="a run of model transformer has no circuit"):
            getattr(run, look)


PLUGIN = """
from nacgraph.tasks import ListOps, register_task

@register_task("mine_{name}")
class Mine(ListOps):
    "Nothing new."

    def encode(self, samples, first=0):
        return super(ListOps, self).encode(samples, first)
"""


def test_a_run_remembers_its_plugins(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "my tasks" / "mine.py"
    plugin.parent.mkdir()
    plugin.write_text(PLUGIN.replace("{name}", "task"))
    monkeypatch.chdir(plugin.parent)
    task = "mine_task"
    made = small(task, tmp_path / "run", plugins=["mine.py"], cache_dir=cache)
    assert made.plugins == [plugin]
    with pytest.raises(ValueError, match=r"samples: expected a task that takes raw samples, got"):
        made.predict(["5"])

    def elsewhere() -> None:
        """As a new process that has run no plugin."""
        from nacgraph.tasks.base import TASKS

        forget_plugins(monkeypatch)
        TASKS._classes.pop(task, None)

    elsewhere()
    with pytest.raises(ValueError) as caught:
        nacgraph.load(made.path)
    said = str(caught.value)
    assert "task: expected one of" in said and "reading a run never runs code" in said
    assert f"plugin {plugin} (unchanged since the run was made)" in said
    assert f"add --plugin '{plugin}'" in said and f"plugins=['{plugin}']" in said
    assert task not in nacgraph.tasks.TASKS.names()  # nothing was run

    again = nacgraph.load(made.path, plugins=[plugin])
    assert again.notes == [] and again.plugins == [plugin]
    assert again.evaluate().accuracy == made.summary["test_accuracy"]

    elsewhere()
    plugin.write_text(plugin.read_text() + "\n# changed\n")
    with pytest.raises(ValueError, match=r"mine.py \(CHANGED since the run was made\)"):
        nacgraph.load(made.path)
    assert main(["evaluate", str(made.path)]) == 2
    assert "CHANGED since the run was made" in capsys.readouterr().err
    assert nacgraph.load(made.path, plugins=[plugin]).notes == [
        f"plugin {plugin} is not the file that the run was made with: its content changed"
    ]

    elsewhere()
    moved = shutil.move(plugin, tmp_path / "mine.py")
    with pytest.raises(ValueError, match=r"mine.py \(no longer there\)"):
        nacgraph.load(made.path)
    assert nacgraph.load(made.path, plugins=[moved]).plugins == [tmp_path / "mine.py"]


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a run folder with a config.yaml"):
        nacgraph.load(tmp_path)
