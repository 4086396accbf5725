"""Tasks: data, tokenizers, losses and baselines. They never see a circuit."""

from nacgraph.tasks.base import TASKS, Batch, Task, get_task, parameters, register_task
from nacgraph.tasks.findings import DataError, Findings
from nacgraph.tasks.listops import ListOps
from nacgraph.tasks.splits import Data, Table
from nacgraph.tasks.table import TableTask
from nacgraph.tasks.tokenizers import SequenceTokenizer, register_tokenizer

__all__ = [
    "TASKS",
    "Batch",
    "Data",
    "DataError",
    "Findings",
    "ListOps",
    "SequenceTokenizer",
    "Table",
    "TableTask",
    "Task",
    "get_task",
    "parameters",
    "register_task",
    "register_tokenizer",
]
