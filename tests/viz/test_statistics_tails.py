"""Tails of degrees: fits find what was drawn, and verdicts say no more than the data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import special

from nacgraph.viz.statistics import degree_tail
from nacgraph.viz.statistics.laws import (
    ALTERNATIVES,
    draw_power_law,
    exponential,
    lognormal,
    poisson,
    power_law,
)


@pytest.mark.parametrize(("alpha", "xmin"), [(1.8, 1), (2.5, 1), (2.5, 6), (3.5, 3)])
def test_the_exponent_of_a_zeta_sample_is_found(alpha: float, xmin: int) -> None:
    x = draw_power_law(alpha, xmin, 4000, np.random.default_rng(0))
    got = power_law(x, xmin).parameters["alpha"]
    assert abs(got - alpha) < 0.12  # standard errors are 0.013 to 0.05


def test_the_exponent_agrees_with_numpys_zipf_and_with_a_search() -> None:
    x = np.random.default_rng(1).zipf(2.3, 3000).astype(float)
    got = power_law(x, 1).parameters["alpha"]
    grid = np.linspace(got - 0.1, got + 0.1, 401)
    likelihood = -grid * np.log(x).mean() - np.log(special.zeta(grid, 1))
    assert got == pytest.approx(grid[likelihood.argmax()], abs=1e-3)
    assert abs(got - 2.3) < 0.1


def test_drawn_power_laws_have_its_probabilities() -> None:
    x = draw_power_law(2.5, 4, 40_000, np.random.default_rng(2))
    assert x.min() == 4 and (x == np.round(x)).all()
    for value in (4, 5, 7, 20):
        wanted = special.zeta(2.5, value) / special.zeta(2.5, 4)
        assert (x >= value).mean() == pytest.approx(wanted, abs=4 * (wanted / 40_000) ** 0.5)


@pytest.mark.parametrize("law", [power_law, *ALTERNATIVES.values()])
@pytest.mark.parametrize("xmin", [1, 5, 30])
def test_probabilities_add_up_to_one(law, xmin: int) -> None:  # type: ignore[no-untyped-def]
    draw = np.random.default_rng(3)
    x = xmin + draw.poisson(4, 60).astype(float)
    fitted = law(x, xmin)
    support = np.arange(xmin, xmin + 400_000).astype(float)
    # The same law at every number: fitted on the data, asked of all.
    known = dict(zip(x, np.exp(fitted.log_likelihood), strict=True))
    values = np.array(sorted(known))
    masses = np.array([known[value] for value in values])
    assert (masses > 0).all() and masses.sum() < 1 + 1e-9
    ratio = np.diff(np.log(masses)) / np.diff(values)
    if law is exponential:
        assert ratio == pytest.approx(-fitted.parameters["rate"])
        whole = masses[0] * np.exp(-fitted.parameters["rate"] * (support - values[0]))
        assert whole.sum() == pytest.approx(1)
    if law is power_law:
        alpha = fitted.parameters["alpha"]
        whole = masses[0] * (support / values[0]) ** -alpha
        assert whole.sum() == pytest.approx(1, abs=2e-3)
    if law is poisson:
        mean = fitted.parameters["mean"]
        log = support * np.log(mean) - special.gammaln(support + 1)
        log0 = values[0] * np.log(mean) - special.gammaln(values[0] + 1)
        assert (masses[0] * np.exp(log - log0)).sum() == pytest.approx(1)
    if law is lognormal:
        mu, sigma = fitted.parameters["mu"], fitted.parameters["sigma"]
        cell = special.ndtr((np.log(values + 0.5) - mu) / sigma) - special.ndtr(
            (np.log(values - 0.5) - mu) / sigma
        )
        cut = 1 - special.ndtr((np.log(xmin - 0.5) - mu) / sigma)
        assert masses == pytest.approx(cell / cut, rel=1e-6)


def test_the_alternatives_find_their_own_parameters() -> None:
    draw = np.random.default_rng(4)
    x = 4 + draw.geometric(0.2, 5000).astype(float)
    assert exponential(x, 5).parameters["rate"] == pytest.approx(-np.log(0.8), rel=0.05)
    x = draw.poisson(12, 8000).astype(float)
    assert poisson(x[x >= 9], 9).parameters["mean"] == pytest.approx(12, rel=0.03)
    x = np.round(np.exp(draw.normal(2.0, 0.7, 8000)))
    assert lognormal(x[x >= 5], 5).parameters == pytest.approx({"mu": 2.0, "sigma": 0.7}, rel=0.1)


def test_a_power_law_is_not_ruled_out_and_beats_what_has_no_tail() -> None:
    x = draw_power_law(2.5, 2, 1500, np.random.default_rng(5))
    found = degree_tail(x, bootstrap=60)
    assert abs(found["alpha"]["value"] - 2.5) < 5 * found["alpha"]["sd"]
    assert found["goodness"]["value"] > 0.05
    assert found["alternatives"]["exponential"]["ratio"]["value"] > 0
    assert found["alternatives"]["exponential"]["p"]["value"] < 0.05
    assert "cannot be told from a lognormal" in found["verdict"]


def test_independent_links_give_no_power_law() -> None:
    found = degree_tail(np.random.default_rng(6).poisson(6, 2000), bootstrap=0)
    assert found["alternatives"]["poisson"]["ratio"]["value"] < 0
    assert found["goodness"]["value"] is None
    whole = degree_tail(np.random.default_rng(6).integers(20, 41, 600), bootstrap=40)
    assert "than by a power law" in whole["verdict"] or "Not a power law" in whole["verdict"]


def test_few_nodes_tell_nothing() -> None:
    found = degree_tail(np.random.default_rng(7).poisson(7, 48), bootstrap=20)
    assert "Too few" in found["verdict"] and "of 48 nodes" in found["verdict"]
    assert found["goodness"]["value"] is None and "fewer than 50" in found["goodness"]["reason"]


@pytest.mark.parametrize("degrees", [[], [0, 0], [3, 3, 3], [0, 2]])
def test_without_two_different_degrees_there_is_no_tail(degrees: list[int]) -> None:
    found = degree_tail(np.array(degrees))
    assert found["alpha"]["value"] is None and "no tail" in found["alpha"]["reason"]
    assert found["verdict"].startswith("No answer")


def test_nothing_is_called_scale_free_and_all_is_json_and_repeatable() -> None:
    for sample in (np.array([1, 1, 2]), np.random.default_rng(8).zipf(2.1, 300) % 10**6):
        found = degree_tail(sample, bootstrap=20, seed=3)
        assert "scale-free" not in json.dumps(found, allow_nan=False)
        assert found == degree_tail(sample, bootstrap=20, seed=3)


def test_degrees_are_whole_numbers() -> None:
    with pytest.raises(ValueError, match="degrees: expected whole numbers"):
        degree_tail(np.array([1.5, 2]))
