"""Point clouds: ModelNet as meshes or HDF5, npz files, generated solids, and their tokenizer."""

from nacgraph.tasks.points.task import Points
from nacgraph.tasks.points.tokenizer import PointTokenizer

__all__ = ["PointTokenizer", "Points"]
