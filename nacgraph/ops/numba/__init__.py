"""Numba kernels on NumPy arrays: no tensors, no gradients, imported when first needed.

All let go of Python's lock, run under :func:`nacgraph.ops.threads.spread`, and are kept on disk.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def _forget_what_older_sources_made(folder: Path) -> None:
    """Remove kernels kept by Numba if any file of this folder has changed since.

    Numba looks at the file of the kernel alone, but what it inlines comes from other files.
    """
    cache = folder / "__pycache__"
    sources = sorted(folder.glob("*.py"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    stamp = cache / "sources.sha256"
    try:
        if stamp.is_file() and stamp.read_text("ascii") == digest:
            return
        for kept in (*cache.glob("*.nbi"), *cache.glob("*.nbc")):
            kept.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        stamp.write_text(digest, "ascii")
    except OSError:  # not ours to write: Numba then keeps its files elsewhere
        pass


_forget_what_older_sources_made(Path(__file__).parent)
