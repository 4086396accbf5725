"""RunConfig: layers, messages, a YAML that comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from nacgraph.cli.options import parse
from nacgraph.cli.plan import check_parts
from nacgraph.training.config import PRESETS, RunConfig, dump_config
from nacgraph.training.run import read_config
from nacgraph.utils.errors import ConfigError


def problems(*argv: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(argv)
    return caught.value.problems


def test_layers_win_in_order(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("preset: lra\nwidth: 10\nrounds: 3\nlearning_rate: 1e-4\n")
    config = parse(["--width", "12", "--config", str(file)]).config
    assert config.width == 12  # flag over file, wherever it stands
    assert config.rounds == 3  # file over preset
    assert config.learning_rate == 1e-4
    assert config.unique_layers == PRESETS["lra"]["unique_layers"]  # preset over default
    assert config.clip == RunConfig().clip


@pytest.mark.parametrize("spelling", ["--prior-weight=0.3", "--prior_weight=0.3"])
def test_both_spellings(spelling: str) -> None:
    assert parse([spelling]).config.prior_weight == 0.3


def test_values_of_many(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a.py", "b.py", "c.py")]
    for file in files:
        Path(file).write_text("")
    found = parse(
        [
            "--plugin",
            *files[:2],
            f"--plugin={files[2]}",
            "--prior-set",
            "p_in=0.8",
            "closed=true",
            "--task-set",
            "names=[a, b],size=3",
            "--curriculum",
            "30:150,60:300",
        ]
    ).config
    assert found.plugin == tuple(files)
    assert found.task_set == {"names": ["a", "b"], "size": 3}
    assert found.prior_set == {"p_in": 0.8, "closed": True}
    assert found.curriculum == ((30, 150), (60, 300))
    assert parse(["--curriculum", "none", "--preset", "lra"]).config.curriculum == ()


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("widht: 3\nsteps: many\n")
    found = problems(
        "--config", str(file), "--learnin-rate=1", "--modules=0", "--precision=16", "stray"
    )
    text = "\n".join(found)
    assert "unknown key 'widht' (nearest: width)" in text
    assert "steps: expected int, got 'many'" in text
    assert "unknown flag 'learnin_rate' (nearest: learning_rate)" in text
    assert "modules: expected a whole number >= 1, got 0" in text
    assert "precision: expected one of 32, bf16-mixed, got '16'" in text
    assert "stray" in text
    assert len(found) >= 6


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["--learning-rate=0"], "learning_rate: expected more than 0, got 0"),
        (["--window=4"], "window: expected an odd number, got 4"),
        (["--devices=3", "--batch-size=8"], "batch_size: expected a multiple of the 3 devices"),
        (["--curriculum=30:100,60:50"], "curriculum: expected positive"),
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
        check_parts(RunConfig(task="listop", prior="rings"))
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
    argv = ["--preset=small", "--width=24", "--prior-set", "p_in=0.7", "--kernel=hard"]
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
    assert found.config.prior == "none" and "links all modules" in found.notes[0]
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
    assert whole.task_set["memory"] == 300
    beside = parse(["--preset", "small", "--task-set", "memory=0"]).config
    assert beside.task_set == {**whole.task_set, "memory": 0}
    path = tmp_path / "old.yaml"
    path.write_text(dump_config(replace(whole, task_set={"stage_size": 9})), encoding="utf-8")
    assert parse(["--config", str(path)]).config.task_set == {"stage_size": 9}
    found = parse(["--config", str(path), "--task-set", "memory=5"]).config.task_set
    assert found == {"stage_size": 9, "memory": 5}
