"""Numba kernels on NumPy arrays: no tensors, no gradients, imported when first needed.

All let go of Python's lock, run under :func:`nacgraph.ops.threads.spread`, and are kept on disk;
:mod:`nacgraph.ops.numba.compile` says for how long.
"""
