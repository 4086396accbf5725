"""RunConfig: layers, messages, a YAML that comes back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import nacgraph
from nacgraph.cli.options import parse
from nacgraph.models.config import NACConfig, TransformerConfig
from nacgraph.models.ladder import CHOICES
from nacgraph.priors.config import PRIORS, PriorConfig
from nacgraph.tasks.config import TASKS
from nacgraph.training.config import RunConfig, dump_config, make_config
from nacgraph.training.flags import PAIRS, flags, path_of, short_names
from nacgraph.training.run import read_config
from nacgraph.training.run_config import PRESETS, to_yaml
from nacgraph.utils.errors import ConfigError
from nacgraph.utils.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
# Of commit 2a98585; a command line of that time keeps its meaning.
OLD_FLAGS = yaml.safe_load((ROOT / "tests/fixtures/2a98585/nac/config.yaml").read_text("utf-8"))


def problems(*argv: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(argv)
    return caught.value.problems


def test_layers_win_in_order(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("preset: lra\nwidth: 10\nrounds: 3\nlearning_rate: 1e-4\n")
    config = parse(["--width", "12", "--config", str(file)]).config
    assert config.model.width == 12  # flag over file, wherever it stands
    assert config.model.rounds == 3  # file over preset
    assert config.optimizer.learning_rate == 1e-4
    assert config.model.unique_layers == PRESETS["lra"]["unique_layers"]  # preset over default
    assert config.optimizer.clip == RunConfig().optimizer.clip
    assert config == make_config(file, width=12)  # the same layers from Python


@pytest.mark.parametrize(
    "spelling",
    ["--prior-weight=0.3", "--prior_weight=0.3", "--prior.weight=0.3", "--prior.weight 0.3"],
)
def test_every_spelling(spelling: str) -> None:
    assert parse(spelling.split()).config.prior.weight == 0.3


def test_a_name_is_short_for_one_field_only() -> None:
    short = [flag.short for flag in flags().values()]
    assert len(short) == len(set(short))
    assert set(OLD_FLAGS) <= {*short_names(), *PAIRS}
    assert all(path_of(name) == path for name, path in short_names().items())


def test_python_builds_the_model_that_the_command_trains() -> None:
    trained = parse([]).config
    assert nacgraph.RunConfig().model == nacgraph.NACConfig() == trained.model
    assert make_config() == trained
    for name in CHOICES:
        assert parse(["--model", name]).config.model == RunConfig(model=name).model  # type: ignore[arg-type]


def test_parts_may_be_dictionaries_and_names() -> None:
    config = RunConfig(
        model={"name": "perceiver_io", "modules": 7},  # type: ignore[arg-type]
        task={"name": "images", "flip": True},  # type: ignore[arg-type]
        prior={"name": "ring_of_cliques", "clique_size": 4, "weight": 0.5},  # type: ignore[arg-type]
        optimizer={"clip": 0},  # type: ignore[arg-type]
    )
    assert config.model == NACConfig(modules=7, modulation=False, wiring="complete")
    assert config.model_name == "perceiver_io" and config.links_all()
    assert config.task.parameters == {"flip": True}
    assert config.prior.parameters == {"clique_size": 4} and config.prior.weight == 0.5
    assert config.optimizer.clip == 0
    assert RunConfig(prior="none", model="linformer").model_name == "linformer"  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        RunConfig(model={"modulse": 3}, steps=0, devices=3, batch_size=8)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("name", CHOICES)
def test_a_models_name_is_found_again(name: str) -> None:
    assert make_config(model=name).model_name == name


def test_dotted_nested_and_flat_are_one() -> None:
    flat = make_config(width=8, clip=2, prior_weight=0.1, max_length=30, task_set={"memory": 9})
    nested = make_config(
        model={"width": 8},
        optimizer={"clip": 2},
        prior={"weight": 0.1},
        task={"max_length": 30, "memory": 9},
    )
    dotted = ["--model.width=8", "--optimizer.clip=2", "--prior.weight=0.1"]
    dotted += ["--task.max_length=30", "--task.memory=9"]
    assert flat == nested == parse(dotted).config
    assert parse(["--prior.clique_size", "4"]).config.prior.parameters == {"clique_size": 4}


def test_what_a_task_or_model_has_not_is_left_out_and_told() -> None:
    found = parse(["--task=points", "--train_size=5", "--prior=none"])
    assert "train_size" not in found.config.task.parameters
    assert found.notes == ["task points has no train_size: left out"]
    found = parse(["--model=transformer", "--modules=5", "--width=12", "--prior=none"])
    assert found.config.model == TransformerConfig(width=12)
    assert found.notes == ["model transformer has no modules: left out"]


def test_old_spellings_are_told_once() -> None:
    notes = parse(["--task_set", "memory=3", "num_proc=2", "--prior-set", "clique_size=4"]).notes
    assert notes == [
        "--task_set is an old spelling of --task.KEY VALUE",
        "--prior_set is an old spelling of --prior.KEY VALUE",
    ]
    assert parse(["--modules=9", "--prior_weight=2", "--curriculum=30:100"]).notes == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"task_set": {"memry": 3}}, "task.memry: expected one of .*nearest: memory"),
        ({"task": {"memory": "long"}}, "memory: expected a number, got 'long'"),
        ({"task": {"seed": 3}}, "task.seed: expected as a field of the run, --seed"),
        ({"prior": {"clique_sise": 3}}, "prior 'ring_of_cliques': .*got clique_sise"),
        ({"model": {"widht": 3}}, "unknown key 'model.widht' .nearest: model.width"),
        ({"optimizer": 3}, "optimizer: expected `key: value` lines, got 3"),
        ({"condition": "task", "model": "linformer"}, "condition: expected auto or none"),
        ({"preset": "tinny"}, "preset: expected one of tiny, small, lra, got 'tinny'; did you"),
    ],
)
def test_wrong_fields_from_python(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make_config(**given)


def test_a_file_of_another_task_prior_or_model_gives_what_is_common(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    whole = make_config(model="frozen_graph", prior={"clique_size": 4}, width=24, steps=9)
    file.write_text(dump_config(whole))
    other = make_config(file, task="images", prior="scale_free", model="nac")
    assert other.steps == 9 and other.model == NACConfig(width=24)
    assert other.prior == PriorConfig("scale_free")
    assert other.task == make_config(task="images").task
    assert make_config(file, model="transformer").model == TransformerConfig(width=24)


names = st.sampled_from(["none", "scale_free", "watts_strogatz"])


@settings(max_examples=25, deadline=None)
@given(
    model=st.sampled_from(CHOICES),
    preset=st.sampled_from(["tiny", "small", "lra"]),
    task=st.sampled_from(["listops", "images", "nlvr2"]),
    prior=names,
    width=st.integers(2, 500),
    bandwidth=st.floats(1e-6, 1e6),
    rate=st.floats(1e-12, 10),
    seed=st.integers(0, 2**63 - 1),
    start=st.sampled_from(["random", "prior"]),
    data=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=9),
)
def test_what_is_printed_comes_back(
    tmp_path_factory: pytest.TempPathFactory, model: str, preset: str, task: str, prior: str,
    width: int, bandwidth: float, rate: float, seed: int, start: str, data: str,
) -> None:  # fmt: skip
    config = make_config(
        model=model, preset=preset, task=task, prior=prior, width=width, bandwidth=bandwidth,
        learning_rate=rate, seed=seed, signature_start=start, data=data, out=data or None,
        condition="none",
    )  # fmt: skip
    file = tmp_path_factory.mktemp("printed") / "config.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert parse(["--config", str(file)]).config == config == read_config(file.parent)


def test_values_of_many(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a.py", "b.py", "c.py")]
    for file in files:
        Path(file).write_text("")
    found = parse(
        [
            "--plugin",
            *files[:2],
            f"--plugin={files[2]}",
            "--prior=planted_partition",
            "--prior-set",
            "p_in=0.8",
            "groups=4",
            "--task-set",
            "dilations=[1, 2],memory=3",
            "--curriculum",
            "30:150,60:300",
            "--max_length=70",
        ]
    ).config
    assert found.plugin == tuple(files)
    task = found.task.parameters
    assert task["dilations"] == [1, 2] and task["memory"] == 3
    assert found.prior.parameters == {"p_in": 0.8, "groups": 4}
    assert task["curriculum"] == [[30, 150], [60, 300]]
    none = parse(["--curriculum", "none", "--preset", "lra"]).config.task.parameters
    assert none["curriculum"] == [] and none["max_length"] == 2000


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("widht: 3\nsteps: many\n")
    found = problems(
        "--config", str(file), "--learnin-rate=1", "--modules=0", "--precision=16", "stray"
    )
    text = "\n".join(found)
    assert "unknown key 'widht' (nearest: width)" in text
    assert "steps: expected a whole number >= 1, got 'many'" in text
    assert "unknown flag 'learnin_rate' (nearest: learning_rate)" in text
    assert "modules: expected a whole number >= 1, got 0" in text
    assert "precision: expected one of 32, bf16-mixed, got '16'" in text
    assert "stray" in text
    assert len(found) >= 6


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["--learning-rate=0"], "learning_rate: expected a number > 0, got 0"),
        (["--window=4"], "window: expected an odd number, got 4"),
        (["--devices=3", "--batch-size=8"], "batch_size: expected a multiple of the 3 devices"),
        (["--curriculum=30:100,60:50"], "curriculum: expected pairs"),
        (["--bandwidth", "-1"], "bandwidth: expected a number > 0, got -1"),
        (["--min-length=50", "--max-length=20"], "max_length: expected"),
        (["--model=nacc"], "got 'nacc'; did you mean 'nac'?"),
        (["--width"], "width: expected a value"),
        (["--config=none.yaml"], "none.yaml: not a readable YAML"),
        (["--start=nothing"], "start: expected a run folder with a config.yaml, got nothing"),
        (["--learning-rate=nan"], "learning_rate"),
    ],
)
def test_wanted_and_got(argv: list[str], match: str) -> None:
    assert any(match in text for text in problems(*argv))


def test_what_is_wrong_is_said_once() -> None:
    (text,) = problems("--model=nacc")
    assert text.startswith("model: expected one of perceiver_io")
    with pytest.raises(ConfigError) as caught:
        make_config(task="listop", prior="rings")
    assert [text.partition(":")[0] for text in caught.value.problems] == ["task", "prior"]


def test_a_file_starts_no_code(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("plugin: [evil.py]\n")
    assert (
        "plugin: expected on the command line, as --plugin evil.py"
        in problems("--config", str(file))[0]
    )
    file.write_text("width: !!python/object/apply:os.system ['true']\n")
    assert "not a readable YAML" in problems("--config", str(file))[0]


def test_printed_config_is_complete_and_reusable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--preset=small", "--width=24", "--prior.clique_size=4", "--kernel=hard"]
    with pytest.raises(SystemExit) as done:
        parse([*argv, "--print-config"])
    assert done.value.code == 0
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    config = parse(argv).config
    assert set(yaml.safe_load(file.read_text())) == set(RunConfig.__dataclass_fields__)
    assert parse(["--config", str(file)]).config == config
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert parse(["--config", str(tmp_path / "config.yaml")]).config == config
    assert read_config(tmp_path) == config


def test_a_hidden_preset_is_told(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("width: 10\n")
    notes = parse(["--config", str(file), "--preset", "small"]).notes
    assert len(notes) == 1 and "overrules preset small in: width" in notes[0]


def test_the_complete_circuit_has_no_prior() -> None:
    found = parse(["--model=perceiver_io", "--prior=scale_free"])
    assert found.config.prior.name == "none" and "links all modules" in found.notes[0]
    assert found.config.nac_config().wiring == "complete"
    assert found.config.nac_config().modulation is False


def test_the_engine_gets_the_runs_sizes() -> None:
    engine = parse(["--kernel=hard", "--eval-kernel=threshold", "--modules=7"]).config.nac_config()
    assert (engine.mode, engine.eval_mode, engine.modules) == ("hard", "threshold", 7)


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a run folder with a config\.yaml"):
        read_config(tmp_path)
    (tmp_path / "config.yaml").write_text("widht: 3\n")
    with pytest.raises(ConfigError, match="nearest: width"):
        read_config(tmp_path)


def test_a_complete_file_is_not_mixed_with_its_preset(tmp_path: Path) -> None:
    whole = parse(["--preset", "small"]).config
    assert whole.task.parameters["memory"] == 300
    beside = parse(["--preset", "small", "--task-set", "memory=0"]).config
    assert beside.task == whole.task.changed(memory=0)
    path = tmp_path / "old.yaml"
    path.write_text("preset: small\ntask_set: {stage_size: 9}\n", encoding="utf-8")
    found = parse(["--config", str(path)]).config.task.parameters
    assert found["stage_size"] == 9 and found["memory"] == 0 and found["max_length"] == 201
    found = parse(["--config", str(path), "--task-set", "memory=5"]).config.task.parameters
    assert found["stage_size"] == 9 and found["memory"] == 5


def test_what_needs_no_torch(tmp_path: Path) -> None:
    code = """
import sys
from nacgraph.cli.options import parse
from nacgraph.utils.errors import ConfigError
for argv in (["--stpes", "3"], ["--steps=0", "--task=listop", "--prior=ring"], ["--model=nacc"]):
    try:
        parse(argv)
    except ConfigError as error:
        print(len(error.problems))
try:
    parse(["--help"])
except SystemExit as done:
    print(done.code)
print(sorted({"torch", "numpy", "scipy", "lightning", "torch_geometric"} & set(sys.modules)))
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = found.stdout.splitlines()
    assert lines[:3] == ["1", "3", "1"] and lines[-2:] == ["0", "[]"]
    flags_shown = [line.split()[0] for line in lines if line.startswith("  --")]
    assert len(flags_shown) == len(set(flags_shown))
    assert {f"--{name}" for name in short_names()} <= set(flags_shown)
    assert "tiny, small, lra (tiny)" in found.stdout


def test_help_of_a_task_lists_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--task", "text", "--help"])
    assert "--task.drop X" in (said := capsys.readouterr().out) and "(0)" in said


@pytest.mark.parametrize("table", [TASKS, PRIORS], ids=["tasks", "priors"])
def test_the_light_tables_hold_all_that_ships(table: Registry[Any]) -> None:
    folder = table.group.partition(".")[2]
    sources = [path.read_text("utf-8") for path in (ROOT / folder).rglob("*.py")]
    registered = set(re.findall(rf'(?m)^@register_{folder[:-1]}\("(\w+)"\)', "\n".join(sources)))
    assert registered == set(table.shipped)
    for name in table.shipped:
        assert isinstance(table.get(name), type)
