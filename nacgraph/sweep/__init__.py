"""Recipes of experiments, run cell by cell, and the tables and curves of their results.

A recipe is data (YAML): axes whose points set fields of RunConfig, sizes to run them at, and
commands for the finished runs. Every cell, one point of each axis and a seed, is a run folder.
"""

from nacgraph.sweep.gather import Record, Row, gather, rows_of
from nacgraph.sweep.jobs import Job, Step, jobs_of
from nacgraph.sweep.launch import LAUNCHERS, launch
from nacgraph.sweep.recipe import After, Cell, Recipe, read_recipe
from nacgraph.sweep.run import Sweep, plan_sweep
from nacgraph.sweep.tables import latex, markdown, spreadsheet

__all__ = [
    "LAUNCHERS",
    "After",
    "Cell",
    "Job",
    "Recipe",
    "Record",
    "Row",
    "Step",
    "Sweep",
    "gather",
    "jobs_of",
    "latex",
    "launch",
    "markdown",
    "plan_sweep",
    "read_recipe",
    "rows_of",
    "spreadsheet",
]
