"""Data given as an archive: unpacked once into the cache, never outside of it."""

from __future__ import annotations

from pathlib import Path


def opened(path: Path | None, cache_dir: Path | None = None) -> Path | None:
    """The folder that an archive unpacks to; any other path as it is."""
    return path
