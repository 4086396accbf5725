"""NLVR2: is a sentence true of two images? The generator takes the sentence."""

from nacgraph.tasks.nlvr2.task import NLVR2
from nacgraph.tasks.nlvr2.tokenizers import ImagePairTokenizer, SentenceTokenizer

__all__ = ["NLVR2", "ImagePairTokenizer", "SentenceTokenizer"]
