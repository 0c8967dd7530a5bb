"""The paper's tasks: which model is built, which loss is minimized, what is measured.

Training, evaluation and run store use only the interface of :class:`Task`. A new task is one class and a row in
:data:`TASKS`.
"""

from typing import Any

from slotnorm.tasks.discovery import FeatureDiscovery, ObjectDiscovery
from slotnorm.tasks.prediction import PropertyPrediction
from slotnorm.tasks.task import Batch, Measured, Task

__all__ = ["TASKS", "Batch", "FeatureDiscovery", "Measured", "ObjectDiscovery", "PropertyPrediction", "Task"]

TASKS: dict[str, type[Any]] = {task.__name__: task for task in (ObjectDiscovery, FeatureDiscovery, PropertyPrediction)}
"""Name to task."""
