"""Text as raw bytes: the task, the layouts that it reads, the sentences that it makes."""

from nacgraph.tasks.text.task import Text

__all__ = ["Text"]
