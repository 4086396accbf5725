"""Which task a run learns, and with which parameters; reading this file needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacgraph.utils.registry import Registry

if TYPE_CHECKING:
    from nacgraph.tasks.base import Task

TASKS: Registry[Task] = Registry(
    "task",
    "nacgraph.tasks",
    {
        "images": "nacgraph.tasks.images.task:Images",
        "listops": "nacgraph.tasks.listops.task:ListOps",
        "nlvr2": "nacgraph.tasks.nlvr2.task:NLVR2",
        "points": "nacgraph.tasks.points.task:Points",
        "text": "nacgraph.tasks.text.task:Text",
    },
)


@dataclass(frozen=True)
class TaskConfig:
    """A task by name, and what its constructor gets.

    Attributes:
        name: As registered.
        parameters: Of the task's constructor; those left out have its defaults. Values are as
            YAML has them: paths are text, tuples are lists.

    Example:
        >>> TaskConfig.of({"name": "listops", "max_length": 41})
        TaskConfig(name='listops', parameters={'max_length': 41})
    """

    name: str = "listops"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", plain(self.parameters))

    @classmethod
    def of(cls, value: TaskConfig | str | Mapping[str, Any]) -> TaskConfig:
        """From a name, or a mapping of ``name`` and parameters."""
        if isinstance(value, TaskConfig):
            return value
        if isinstance(value, str):
            return cls(value)
        given = dict(value)
        return cls(given.pop("name", cls.name), {**given.pop("parameters", {}), **given})

    def changed(self, **parameters: Any) -> TaskConfig:
        """The same task with these parameters over its own."""
        return replace(self, parameters={**self.parameters, **parameters})

    def as_dict(self) -> dict[str, Any]:
        """``{"name": …, parameter: …}``."""
        return {"name": self.name, **self.parameters}


def plain(value: Any) -> Any:
    """The value as YAML has it: tuples as lists, paths as text."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
