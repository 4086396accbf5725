"""The benchmarks' own arithmetic: ratios, exponents, records, bars. Nothing here is timed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import against, against_child, bench, report, runner
from benchmarks.bars import BARS, Bar, judge
from benchmarks.cases import CASES
from benchmarks.cases.attention import crossover
from benchmarks.cases.common import bandwidth_for, circuit, measured_links
from benchmarks.cases.growth import exponents
from benchmarks.harness import Built, exponent, figures, measure_time, median, summary
from benchmarks.machine import describe

POSITIVE = st.floats(1e-3, 1e3)


def sample(wall: float, cpu: float) -> dict[str, Any]:
    return {"wall": wall, "cpu": cpu, "parts": {"forward": wall / 4, "backward": 3 * wall / 4}}


def measured(quick: bool = False, slow: float = 90.0, name: str = "read_in") -> dict[str, Any]:
    """A record of a case whose rival takes ``slow`` times as long as ours."""
    samples = {"folded": [sample(1, 2)] * 3, "naive": [sample(slow, 4)] * 3}
    point = {
        "sizes": {"modules": 4},
        "memory": {"folded": 2**20, "naive": 2**30},
        "notes": {},
        **summary(samples),
    }
    case = replace(CASES["read_in"], name=name)
    return runner.record(case, quick, describe(1, 0), [point], 1.0)


def test_ratios_are_taken_within_rounds() -> None:
    # The third round was disturbed, for both: their ratio was not.
    samples = {
        "ours": [sample(1, 1), sample(2, 1), sample(10, 1)],
        "rival": [sample(3, 2), sample(8, 5), sample(30, 3)],
    }
    found = summary(samples)
    assert found["ratios"]["rival"]["wall"] == {"median": 3.0, "min": 3.0, "max": 4.0}
    assert found["ratios"]["rival"]["cpu"] == {"median": 3.0, "min": 2.0, "max": 5.0}
    assert found["ratios"]["rival"]["parts"]["backward"]["median"] == 3.0
    assert found["time"]["rival"]["wall"] == 8 and found["rounds"] == 3


@given(st.lists(POSITIVE, min_size=1, max_size=20))
def test_half_of_all_values_lie_on_either_side_of_the_median(values: list[float]) -> None:
    middle = median(values)
    assert (
        2 * sum(v <= middle for v in values) >= len(values) <= 2 * sum(v >= middle for v in values)
    )


@given(st.floats(-2, 3), POSITIVE)
def test_the_exponent_of_a_power_is_found(power: float, scale: float) -> None:
    sizes = [512, 1024, 4096, 16384]
    assert exponent(sizes, [scale * n**power for n in sizes]) == pytest.approx(power, abs=1e-9)


def test_an_exponent_needs_two_sizes() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        exponent([512, 512], [1.0, 2.0])


def test_the_worse_exponent_counts() -> None:
    # A constant part hides the square at small sizes: only the upper half shows it.
    def value(n: int) -> float:
        return 1 + (n / 8192) ** 2

    points = [
        {
            "sizes": {"modules": n},
            "time": {"ours": {"wall": value(n)}},
            "memory": {"ours": n * 2**20},
        }
        for n in (512, 1024, 2048, 4096, 8192, 16384)
    ]
    found = exponents(points)
    assert found["time exponent, all"] < found["time exponent, upper half"]
    assert found["time exponent"] == found["time exponent, upper half"]
    assert found["memory exponent"] == pytest.approx(1) and found["peak_gib"] == pytest.approx(16)


def test_contenders_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    parts = {name: {"call": lambda name=name: calls.append(name)} for name in "AB"}
    found = measure_time(Built(parts), budget=0.0, rounds=(3, 5))
    assert found["rounds"] == 3 and set(found["time"]) == {"A", "B"}
    repeats = found["repeats"]
    timed = calls[-3 * sum(repeats.values()) :]
    assert "".join(timed) == 3 * ("A" * repeats["A"] + "B" * repeats["B"])
    assert {"A", "B"} == set(calls[: -len(timed)])


def test_a_record_survives_the_disk_and_names_no_host(tmp_path: Path) -> None:
    result = measured()
    path = runner.write(tmp_path, result)
    again = runner.read(tmp_path, CASES)["read_in"]
    assert set(runner.REQUIRED) <= set(again)
    assert again["figures"] == pytest.approx(result["figures"], rel=1e-3)
    assert set(again["machine"]) == {
        *("cpu", "cores", "memory_gib", "python", "versions", "threads"),
        *("seed", "commit", "load_before"),
    }
    path.write_text(json.dumps({k: v for k, v in again.items() if k != "figures"}), "utf-8")
    with pytest.raises(ValueError, match="no figures"):
        runner.read(tmp_path, CASES)


def test_figures_of_a_pair() -> None:
    found = measured()["figures"]
    assert found["speedup/naive"] == 90 and found["share/naive"] == pytest.approx(1 / 90)
    assert found["speedup_cpu/naive"] == 2 and found["memory_share/naive"] == 1 / 1024
    assert figures({"memory": {"naive": 5}}, "folded") == {"peak_mib/naive": 5 / 2**20}


@pytest.mark.parametrize(
    ("slow", "quick", "row"),
    [
        (90.0, False, "| ≥ 80× | 90× (90–90) | 2× | met |"),
        (40.0, False, "| ≥ 80× | 40× (40–40) | 2× | **missed** by a factor of 2.00 |"),
        (40.0, True, "| ≥ 80× | 40× (40–40) | 2× | not judged (small sizes) |"),
    ],
)
def test_the_table_says_whether_a_bar_is_met(slow: float, quick: bool, row: str) -> None:
    text = report.markdown({"read_in": measured(quick, slow)}, {"growth": "out of memory"})
    assert row in text
    assert "`growth` failed: out of memory" in text
    assert text.count("| not measured |") == len(BARS) - 1
    assert "![read_in](read_in.png)" in text


@pytest.mark.parametrize(
    ("sense", "limit", "value", "met"),
    [
        ("≥", 2.0, 2.0, True),
        ("≥", 2.0, 1.9, False),
        ("≤", 2.0, 2.1, False),
        ("≤", 0.0, 1e-9, False),
    ],
)
def test_a_bar_is_met_or_missed(sense: str, limit: float, value: float, met: bool) -> None:
    bar = Bar("case", "loss", "what", "at", sense, limit)
    found, verdict = judge(bar, {"case": {"figures": {"loss": value}, "quick": False}})
    assert found == value and (verdict == "met") == met and verdict.startswith("**missed") != met


def test_every_bar_is_about_a_case_that_can_tell() -> None:
    for bar in BARS:
        case = CASES[bar.case]
        kind, _, name = bar.figure.partition("/")
        if name:
            assert name in case.contenders
            assert kind in ("speedup", "share", "peak_mib", "memory_share")
            assert case.timed or kind == "peak_mib"
            assert "memory" not in kind or {name, case.contenders[0]} <= set(case.memory)
        else:
            assert case.metrics is not None


WORKER = """
import json, sys
order = json.loads(sys.argv[2])
if order["case"] == "read_in":
    sys.exit("ValueError: backend: expected one of scatter, dense, got 'fused'")
found = {"memory": {order["only"]: 3 * 2**20}, "notes": {"threads": THREADS}}
open(sys.argv[4], "w").write(json.dumps(found))
"""


def test_a_case_that_fails_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "worker.py"
    script.write_text("import os; THREADS = os.environ['OMP_NUM_THREADS']" + WORKER, "utf-8")
    monkeypatch.setattr(runner, "BENCH", script)
    code = bench.bench(["read_in", "read_in_memory"], quick=True, threads=3, seed=0, out=tmp_path)
    assert code == 1
    assert "read_in … FAILED: read_in {}: ValueError: backend: expected" in capsys.readouterr().out
    text = (tmp_path / "speed.md").read_text("utf-8")
    assert "`read_in` failed: read_in {}: ValueError: backend: expected" in text
    assert "| ≤ 128 MiB | 3 MiB | – | not judged (small sizes) |" in text
    assert runner.read(tmp_path, CASES)["read_in_memory"]["points"][0]["notes"] == {"threads": "3"}
    assert {path.name for path in tmp_path.glob("*.png")} == {"read_in_memory.png"}


def test_an_unknown_case_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.bench(["read_inn"], quick=True, threads=1, seed=0, out=tmp_path) == 2
    assert "got 'read_inn'" in capsys.readouterr().err


def test_a_crossover_lies_where_the_ratio_passes_one() -> None:
    assert crossover((0.1, 0.4), (2.0, 0.5)) == pytest.approx(0.2)
    assert crossover((0.1, 0.4), (2.0, 1.5)) is None


@pytest.mark.parametrize("degree", [4, 16])
def test_random_signatures_give_the_degree_asked_for(degree: int) -> None:
    sizes = {"modules": 400, "width": 8, "heads": 1, "head_dim": 4, "read_head_dim": 4, "rounds": 1}
    found = measured_links(circuit({**sizes, "degree": degree}, 0), 0)
    assert found["mean_degree"] == pytest.approx(degree, rel=0.1)
    assert found["density"] == pytest.approx((found["mean_degree"] + 1) / 400, rel=1e-5)
    assert math.exp(-1 / bandwidth_for(degree / 399, 64)) < degree / 399  # Jensen's inequality


@pytest.mark.parametrize("name", CASES)
def test_every_case_runs_at_its_small_sizes(name: str) -> None:
    case = CASES[name]
    if any("perceiver-pytorch" in contender for contender in case.contenders):
        pytest.importorskip("perceiver_pytorch")
    sizes = {**case.sizes, **case.points[0], **case.warm}
    built = case.build(case.contenders, seed=0, **sizes)
    assert tuple(built.contenders) == case.contenders
    answers = {}
    for contender, parts in built.contenders.items():
        if not contender.startswith("mm "):  # products as large as ever, for the machine's peak
            for part in parts.values():
                answers[contender] = part()
    notes = built.after(answers) if built.after else {}
    assert notes.get("largest_difference", 0.0) < 1e-3


def test_sizes_of_a_circuit_do_not_follow_the_defaults() -> None:
    # The number at commit 2a98585, whose defaults were other ones.
    sizes = {**CASES["growth"].sizes, "modules": 64}
    assert circuit(sizes, 0).num_parameters() == 1_723_757


def test_a_checkout_against_itself() -> None:
    small = {"modules": 4, "tokens": 8, "width": 8, "batch": 2, "head_dim": 4}
    found = against.against(against.ROOT, ["read-in"], 1, 0.0, most=2, changed=small)
    (row,) = found["rows"]
    assert row["rounds"] == 2 and row["answers"][0] == row["answers"][1] != 0
    assert 0 < row["low"] <= row["ratio"] <= row["high"]
    line = against.markdown(found).splitlines()[-1]
    assert line.startswith("| read-in | ") and line.count("|") == 8


def test_what_differs_between_processes_is_in_the_interval() -> None:
    low, high = against.interval([[1.0, 1.01, 1.0], [1.2, 1.21, 1.2], [0.9, 0.91, 0.9]])
    assert low <= 0.91 and high >= 1.2
    assert against.interval([[1.1, 1.1], [1.1, 1.1]]) == (1.1, 1.1)


@pytest.mark.parametrize(
    ("low", "ratio", "after", "says"),
    [
        (1.06, 1.1, 2.0, "**slower**"),
        (1.01, 1.1, 2.0, "**above, not surely**"),
        (0.9, 1.0, 2.0, "met"),
        (0.9, 1.0, 2.1, "**answers differ**"),
    ],
)
def test_a_case_is_slower_only_where_that_is_sure(
    low: float, ratio: float, after: float, says: str
) -> None:
    pair = {"rounds": [(1.0, ratio)], "answers": [2.0, after]}
    assert against.verdict({**against.summary("x", [pair]), "low": low}) == says


def test_a_case_of_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["against.py", str(against.ROOT), "--cases", "stepp"])
    with pytest.raises(SystemExit):
        against.main()
    assert "--cases: expected parts of step, preset tiny" in capsys.readouterr().err


def test_every_name_of_the_comparison_is_one_of_today() -> None:
    for name, (home, _) in against_child.NAMES.items():
        assert hasattr(import_module(home), name), f"{home}.{name}"
