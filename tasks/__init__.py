"""Tasks: data, tokenizers, losses and baselines. They never see a circuit."""

from nacgraph.tasks.base import TASKS, Batch, Task, get_task, parameters, register_task
from nacgraph.tasks.data_report import DataError, DataReport
from nacgraph.tasks.images import Images
from nacgraph.tasks.listops.task import ListOps
from nacgraph.tasks.nlvr2 import NLVR2
from nacgraph.tasks.points import Points
from nacgraph.tasks.splits import Data, Table
from nacgraph.tasks.table import TableTask
from nacgraph.tasks.text import Text
from nacgraph.tasks.tokenizers import SequenceTokenizer, register_tokenizer

__all__ = [
    "NLVR2",
    "TASKS",
    "Batch",
    "Data",
    "DataError",
    "DataReport",
    "Images",
    "ListOps",
    "Points",
    "SequenceTokenizer",
    "Table",
    "TableTask",
    "Task",
    "Text",
    "get_task",
    "parameters",
    "register_task",
    "register_tokenizer",
]
