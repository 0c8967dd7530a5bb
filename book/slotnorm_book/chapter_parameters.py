"""The base class of all chapters' parameters: fields with type, range and meaning, checked before any work."""

import ast
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from slotnorm.normalization import describe_unknown
from slotnorm.normalization import is_known as is_normalization
from slotnorm_book.experiments.data_sources import PARTS, Source, is_known, list_stand_ins, resolve_path

_INJECTED = "# Parameters"
_INJECTED_PATHS = {"PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"}
"""What papermill adds for ``--inject-paths``."""
NOTHING = ("None", "null")
"""Texts that stand for ``None`` wherever a parameter is set."""
T = TypeVar("T")


class ParameterError(ValueError):
    """A parameter of a chapter that is unknown, missing or out of range; the message says what would be right."""


def check_device(device: str) -> str:
    """Check that a device is available, and return its name."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device is available; use auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise ValueError("no MPS device is available; use auto or cpu")
    return device


def check_normalization(name: str) -> str:
    """Check that a normalization of this name exists, and return the name."""
    if not is_normalization(name):
        raise ValueError(describe_unknown("normalization", name))
    return name


def check_power_of_two(size: int) -> int:
    """Check that a size is a power of two, and return it."""
    if size & (size - 1):
        raise ValueError("must be a power of two")
    return size


def read_word(text: str) -> object:
    """Read a value from a command line as ``papermill -p`` does: ``None``, booleans and numbers; all else is text.

    Example:
        >>> [read_word(text) for text in ("None", "True", "7", "1e-3", "[5, 7]", "runs")]
        [None, True, 7, 0.001, '[5, 7]', 'runs']
    """
    if text in NOTHING:
        return None
    if text in ("True", "False"):
        return text == "True"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _listed(value: object) -> object:
    """Read a list from JSON, since ``papermill -p`` passes lists as strings."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f'{value!r} is not a list in JSON, such as [1, 2] or ["a", "b"]') from error
    return tuple(value) if isinstance(value, list) else value


def check_unique(values: tuple[T, ...]) -> tuple[T, ...]:
    """Check that no value is there twice, and return the values."""
    if len(set(values)) < len(values):
        raise ValueError("must name each once")
    return values


def check_data_exists(data: str) -> str:
    """Check that data is a stand-in's name, or a file or folder of data, and return it."""
    if not is_known(data):
        raise ValueError(
            f"there is no file, folder or stand-in {data!r}; the stand-ins are {', '.join(list_stand_ins())}"
        )
    folder = Path(resolve_path(data))
    prepared = any((folder / part / "manifest.json").is_file() for part in ("", *PARTS))
    if not prepared and not Source(data, PARTS[0], image_size=0, scenes=0).is_generated:
        raise ValueError(f"{data!r} exists but is neither a folder of prepared splits nor a TFRecord file")
    return data


Chapter = TypeVar("Chapter", bound="ChapterParameters")
ListOf = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(check_unique), BeforeValidator(_listed)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, description="seed of every generator")]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    Field(description="device for all tensors; auto is cuda if there is one, otherwise cpu"),
    AfterValidator(check_device),
]
NormalizationName = Annotated[str, AfterValidator(check_normalization)]
SlotCount = Annotated[int, Field(ge=1, le=256)]


class ChapterParameters(BaseModel):
    """The base class of all chapters' parameters: frozen, strictly typed, each with a meaning and without a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_min_length=1, str_strip_whitespace=True)

    seed: Seed
    device: Device

    @property
    def torch_device(self) -> torch.device:
        """The device to use; ``auto`` is resolved."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @classmethod
    def parse(cls: type[Chapter], values: Mapping[str, object]) -> Chapter:
        """Check parameters and return them as an object.

        A text is read in one way, whether papermill, a command line or the notebook's own cell gives it: ``"None"`` and
        ``"null"`` stand for ``None``, and ``"7"`` for 7 unless the parameter is a text.

        Args:
            values: one value per field, by name.

        Raises:
            ParameterError: a parameter is wrong; the message names each such parameter and what would be right, and
                lists all parameters.
        """
        try:
            return cls.model_validate({name: cls._read(name, value) for name, value in values.items()})
        except ValidationError as error:
            first = {str(e["loc"][0]): e for e in reversed(error.errors())}
        problems = [cls._problem(name, first[name]) for name in reversed(first)]
        raise ParameterError("\n".join([*problems, "", cls.describe()]))

    @classmethod
    def from_notebook(cls: type[Chapter], namespace: Mapping[str, Any]) -> Chapter:
        """Read and check the parameters of a notebook.

        papermill accepts any name, also one that the notebook does not use. The cell that papermill injects is in the
        input history, so names that are assigned there and are no parameters of the chapter are refused here.

        Args:
            namespace: the notebook's ``globals()``.

        Raises:
            ParameterError: as for :meth:`parse`.
        """
        values = {name: namespace[name] for name in cls.model_fields if name in namespace}
        unknown = {name: namespace.get(name) for name in _injected_names(namespace.get("In", ()))}
        return cls.parse(unknown | values)

    @classmethod
    def describe(cls) -> str:
        """List all parameters with type, range and meaning, one per line."""
        rows = cls.rows()
        width = max(len(name) for name, _, _ in rows)
        lines = (f"  {name:{width}}  {kind}: {meaning}" for name, kind, meaning in rows)
        return "\n".join([f"Parameters of {cls.__name__}:", *lines])

    @classmethod
    def rows(cls) -> list[tuple[str, str, str]]:
        """Return name, type with range, and meaning of every parameter."""
        schema = cls.model_json_schema()["properties"]
        return [(name, _kind(entry), entry["description"]) for name, entry in schema.items()]

    @classmethod
    def _read(cls, name: str, value: object) -> object:
        if not isinstance(value, str) or name not in cls.model_fields:
            return value
        entry, word = cls.model_json_schema()["properties"][name], read_word(value)
        is_text = any(choice.get("type") == "string" for choice in entry.get("anyOf", [entry]))
        return value if is_text and word is not None else word

    @classmethod
    def _problem(cls, name: str, error: ErrorDetails) -> str:
        if error["type"] == "missing":
            return f"parameter {name} is missing"
        if error["type"] == "extra_forbidden":
            near = get_close_matches(name, cls.model_fields, n=1)
            return f"unknown parameter {name}" + (f"; do you mean {near[0]}?" if near else "")
        if error["type"] == "string_too_short":
            optional = not error["loc"][1:] and "None" in dict(row[:2] for row in cls.rows())[name]
            default = "; None is the default" if optional else ""
            return f"parameter {name} = {error['input']!r}: must not be empty{default}"
        message = error["msg"].removeprefix("Value error, ").replace("Tuple", "List").replace("tuple", "list")
        return f"parameter {name} = {error['input']!r}: {message}"


def _injected_names(history: Sequence[str]) -> list[str]:
    """Return the names that are assigned in the latest cell that papermill injected."""
    injected = [source for source in history if source.startswith(_INJECTED)]
    if not injected:
        return []
    nodes = ast.walk(ast.parse(injected[-1]))
    assigned = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return [name for name in assigned if name not in _INJECTED_PATHS]


def _kind(entry: Mapping[str, Any]) -> str:
    if "anyOf" in entry:
        return " | ".join(_kind(choice) for choice in entry["anyOf"])
    if entry.get("type") == "null":
        return "None"
    if "enum" in entry:
        return " | ".join(entry["enum"])
    if entry["type"] == "array":
        return f"list of {_kind(entry['items'])}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    name = {"integer": "int", "number": "float", "string": "str"}[entry["type"]]
    return " ".join([name, *(f"{sign} {entry[key]:.10g}" for key, sign in bounds.items() if key in entry)])
