"""The cache of arrays: whole files or none, in the user's own folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from nacgraph.tasks import cache


def test_writers_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    file, arrays = tmp_path / "a.npz", {"x": np.arange(50_000)}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: cache.save(file, {}, arrays), range(12)))
    assert np.array_equal(cache.load(file, {})["x"], arrays["x"])
    assert list(tmp_path.iterdir()) == [file]


def test_cache_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_cache_dir() == tmp_path / "nacgraph"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache.default_cache_dir().is_absolute()


def test_a_digest_covers_settings_types_and_shapes() -> None:
    base = cache.digest({"a": 1}, {"x": np.zeros(4, np.uint8)})
    others = [
        cache.digest({"a": 2}, {"x": np.zeros(4, np.uint8)}),
        cache.digest({"a": 1}, {"y": np.zeros(4, np.uint8)}),
        cache.digest({"a": 1}, {"x": np.zeros((2, 2), np.uint8)}),
        cache.digest({"a": 1}, {"x": np.zeros(1, np.uint32)}),
    ]
    assert len({base, *others}) == 5


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, sha256=np.array("0"), x=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="damaged"):
        cache.load(file, {})
