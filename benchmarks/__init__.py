"""Benchmarks: ``bench.py`` times nacgraph beside its rivals; README.md says what came out."""
