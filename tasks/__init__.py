"""Tasks: data, tokenizers, losses and baselines. They never see a circuit.

A name below loads its file when it is first used, since tasks import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nacgraph.tasks.base import Batch as Batch
    from nacgraph.tasks.base import Parameter as Parameter
    from nacgraph.tasks.base import Task as Task
    from nacgraph.tasks.base import get_task as get_task
    from nacgraph.tasks.base import parameters as parameters
    from nacgraph.tasks.base import register_task as register_task
    from nacgraph.tasks.config import TASKS as TASKS
    from nacgraph.tasks.config import TaskConfig as TaskConfig
    from nacgraph.tasks.data_report import DataError as DataError
    from nacgraph.tasks.data_report import DataReport as DataReport
    from nacgraph.tasks.images import Images as Images
    from nacgraph.tasks.listops.task import ListOps as ListOps
    from nacgraph.tasks.nlvr2 import NLVR2 as NLVR2
    from nacgraph.tasks.points import Points as Points
    from nacgraph.tasks.splits import Data as Data
    from nacgraph.tasks.splits import Table as Table
    from nacgraph.tasks.table import TableTask as TableTask
    from nacgraph.tasks.text import Text as Text
    from nacgraph.tasks.tokenizers import SequenceTokenizer as SequenceTokenizer
    from nacgraph.tasks.tokenizers import register_tokenizer as register_tokenizer

__all__ = [
    "NLVR2",
    "TASKS",
    "Batch",
    "Data",
    "DataError",
    "DataReport",
    "Images",
    "ListOps",
    "Parameter",
    "Points",
    "SequenceTokenizer",
    "Table",
    "TableTask",
    "Task",
    "TaskConfig",
    "Text",
    "get_task",
    "parameters",
    "register_task",
    "register_tokenizer",
]

_HOME = {  # public name: the file that defines it
    "Batch": "nacgraph.tasks.base",
    "Parameter": "nacgraph.tasks.base",
    "Task": "nacgraph.tasks.base",
    "get_task": "nacgraph.tasks.base",
    "parameters": "nacgraph.tasks.base",
    "register_task": "nacgraph.tasks.base",
    "TASKS": "nacgraph.tasks.config",
    "TaskConfig": "nacgraph.tasks.config",
    "DataError": "nacgraph.tasks.data_report",
    "DataReport": "nacgraph.tasks.data_report",
    "Images": "nacgraph.tasks.images",
    "ListOps": "nacgraph.tasks.listops.task",
    "NLVR2": "nacgraph.tasks.nlvr2",
    "Points": "nacgraph.tasks.points",
    "Data": "nacgraph.tasks.splits",
    "Table": "nacgraph.tasks.splits",
    "TableTask": "nacgraph.tasks.table",
    "Text": "nacgraph.tasks.text",
    "SequenceTokenizer": "nacgraph.tasks.tokenizers",
    "register_tokenizer": "nacgraph.tasks.tokenizers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nacgraph.tasks' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next look-up does not come here
    return value
