"""Images: readers of the usual data sets, a convolutional stem, augmentation, renditions."""

from nacgraph.tasks.images.renditions import RENDITIONS, STRENGTHS, render
from nacgraph.tasks.images.stem import ImageTokenizer
from nacgraph.tasks.images.task import Images

__all__ = ["RENDITIONS", "STRENGTHS", "ImageTokenizer", "Images", "render"]
