"""Tasks: data, tokenizers, losses and baselines. They never see a circuit."""

from nacgraph.tasks.base import TASKS, Batch, Task, get_task, register_task
from nacgraph.tasks.listops import ListOps
from nacgraph.tasks.tokenizers import SequenceTokenizer

__all__ = ["TASKS", "Batch", "ListOps", "SequenceTokenizer", "Task", "get_task", "register_task"]
