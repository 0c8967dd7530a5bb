"""The parameters of every chapter: one class each, checked before any work.

A field has a type, a range and a meaning here; its default is in the notebook's ``parameters`` cell and is the smoke
run. A notebook's second cell turns what that cell, papermill or a reader's hand has set into a checked, frozen object:

    p = Clevr.from_notebook(globals())

Needs the extra ``book``; nothing else in ``slotnorm`` imports this module.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from slotnorm.normalization import NORMALIZATIONS

_INJECTED = "# Parameters"
_CHECKOUT = Path(__file__).parents[1]

STAND_INS = ("synth-clevr", "synth-movi-c", "synth-movi-d")
"""Names that a ``data`` parameter may have instead of a path; ``data_tools.catalog`` makes them."""


class ParameterError(ValueError):
    """A chapter got a parameter that it does not have, lacks one that it needs, or got one out of range."""


def _usable(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device is to be had here; use auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise ValueError("no MPS device is to be had here; use auto or cpu")
    return device


def _known_normalization(name: str) -> str:
    if name not in NORMALIZATIONS:
        raise ValueError(f"unknown normalization {name!r}; there are {', '.join(NORMALIZATIONS)}")
    return name


def _power_of_two(size: int) -> int:
    if size & (size - 1):
        raise ValueError("must be a power of two")
    return size


def _listed(value: object) -> object:
    """What ``papermill -p`` hands over for a list is JSON in a string."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f'{value!r} is no list in JSON, such as [1, 2] or ["a", "b"]') from error
    return tuple(value) if isinstance(value, list) else value


def _available(data: str) -> str:
    if data not in STAND_INS:
        try:
            find_data(data)
        except FileNotFoundError as error:
            raise ValueError(f"{error}; stand-ins are {', '.join(STAND_INS)}") from error
    return data


T = TypeVar("T")
Chapter = TypeVar("Chapter", bound="ChapterParameters")
ListOf = Annotated[tuple[T, ...], Field(min_length=1), BeforeValidator(_listed)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, description="seed of every generator")]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    Field(description="where tensors live; auto: cuda where there is one, otherwise cpu"),
    AfterValidator(_usable),
]
NormalizationName = Annotated[str, AfterValidator(_known_normalization)]
SlotCount = Annotated[int, Field(ge=1, le=64)]


def find_data(path: str) -> Path:
    """Find a data file or folder: from the working directory first, then from the checkout's root.

    So a notebook's default means the same file from Jupyter, papermill and nbval, which all start elsewhere.

    Args:
        path: relative or absolute path.

    Raises:
        FileNotFoundError: nothing of that name in either place.
    """
    for base in (Path.cwd(), _CHECKOUT):
        if (base / path).exists():
            return base / path
    raise FileNotFoundError(f"no file or folder {path!r}, neither in the working directory nor in the checkout")


class ChapterParameters(BaseModel):
    """Base of all chapters' parameters: frozen, strict about types, no field without a meaning, no defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: Seed
    device: Device

    @property
    def torch_device(self) -> torch.device:
        """The device that ``device`` stands for here."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @classmethod
    def parse(cls: type[Chapter], values: Mapping[str, object]) -> Chapter:
        """Check ``values``.

        Args:
            values: one value per field, by name.

        Raises:
            ParameterError: names each offending parameter, what would be right, and all parameters with their meaning.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = {str(e["loc"][0]): e for e in reversed(error.errors())}
        problems = [cls._problem(name, first[name]) for name in reversed(first)]
        raise ParameterError("\n".join([*problems, "", cls.describe()]))

    @classmethod
    def from_notebook(cls: type[Chapter], namespace: Mapping[str, Any]) -> Chapter:
        """Read and check the parameters of the notebook whose ``globals()`` these are.

        papermill runs on when it is given a name that the notebook does not have. It leaves the cell that it injected
        in the input history, though, and a name assigned there that is no field here is refused.

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
        """List all parameters with type, range and meaning, one a line."""
        schema = cls.model_json_schema()["properties"]
        width = max(map(len, schema))
        lines = (f"  {name:{width}}  {_kind(entry)}: {entry['description']}" for name, entry in schema.items())
        return "\n".join([f"Parameters of {cls.__name__}:", *lines])

    @classmethod
    def _problem(cls, name: str, error: ErrorDetails) -> str:
        if error["type"] == "missing":
            return f"parameter {name} is missing"
        if error["type"] == "extra_forbidden":
            near = get_close_matches(name, cls.model_fields, n=1)
            return f"unknown parameter {name}" + (f"; do you mean {near[0]}?" if near else "")
        message = error["msg"].removeprefix("Value error, ").replace("Tuple", "List").replace("tuple", "list")
        return f"parameter {name} = {error['input']!r}: {message}"


def _injected_names(history: Sequence[str]) -> list[str]:
    """Names that the latest cell injected by papermill assigns."""
    injected = [source for source in history if source.startswith(_INJECTED)]
    if not injected:
        return []
    nodes = ast.walk(ast.parse(injected[-1]))
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _kind(entry: Mapping[str, Any]) -> str:
    if "enum" in entry:
        return " | ".join(entry["enum"])
    if entry["type"] == "array":
        return f"list of {_kind(entry['items'])}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    name = {"integer": "int", "number": "float", "string": "str"}[entry["type"]]
    return " ".join([name, *(f"{sign} {entry[key]:.10g}" for key, sign in bounds.items() if key in entry)])


class VmfEm(ChapterParameters):
    """Chapter 1: expectation maximization of a von Mises-Fisher mixture beside Slot Attention, in double precision."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Field(description="where EM is run; auto: cuda where there is one, otherwise cpu"),
        AfterValidator(_usable),
    ]
    points: int = Field(ge=64, le=1_000_000, description="points drawn from a mixture")
    components: int = Field(ge=2, le=20, description="components of a mixture")
    temperature: float = Field(gt=0, le=1, description="temperature of the mixtures, one over their concentration")
    trials: int = Field(ge=2, le=100_000, description="random instances behind each check and verdict")
    slot_dim: int = Field(ge=6, le=512, description="features of a token and of a slot")
    scenes: int = Field(ge=50, le=100_000, description="scenes whose update codes the regressors learn from")
    fit_components: ListOf[SlotCount] = Field(description="component counts that EM is run with")
    mixtures: int = Field(ge=1, le=1000, description="mixtures that EM is run on for each component count")


class Clevr(ChapterParameters):
    """Chapter 2: object discovery on CLEVR."""

    data: Annotated[str, AfterValidator(_available)] = Field(
        description="CLEVR-with-masks TFRecord, prepared split, or synth-clevr, a stand-in drawn on first use"
    )
    scenes: int = Field(ge=1, le=1_000_000, description="scenes to draw when data names a stand-in")
    variants: ListOf[NormalizationName] = Field(
        description=f"normalizations to train, out of {', '.join(NORMALIZATIONS)}"
    )
    image_size: Annotated[int, AfterValidator(_power_of_two)] = Field(
        ge=16, le=128, description="height and width of the images in pixels, a power of two; the paper has 128"
    )
    width: int = Field(ge=1, le=1024, description="features of convolutions, tokens and slots; the paper has 64")
    encoder_layers: int = Field(ge=1, le=16, description="convolutions of the encoder; the paper has 4")
    max_objects: int = Field(ge=1, le=10, description="most objects in a scene trained on; 6 is the paper's CLEVR6")
    train_slots: SlotCount = Field(description="slots in training; the paper has 7, or 11 for Fig. 3")
    steps: int = Field(ge=1, le=500_000, description="training steps of each variant; the paper has 500,000")
    batch_size: int = Field(ge=1, le=4096, description="scenes in a training batch; the paper has 64")
    learning_rate: float = Field(gt=0, le=1, description="peak learning rate; the paper has 3.732e-4")
    warmup: int = Field(ge=0, le=100_000, description="steps of linear warm-up; the paper has 10,000")
    slots: ListOf[SlotCount] = Field(description="slot counts at evaluation; the paper has 5 to 21")
    iterations_eval: int = Field(ge=1, le=100, description="Slot Attention iterations at evaluation; the paper has 5")

    @property
    def data_source(self) -> str | Path:
        """The stand-in's name, or where the file or folder was found."""
        return self.data if self.data in STAND_INS else find_data(self.data)


CHAPTERS: dict[str, type[ChapterParameters]] = {"01_vmf_em": VmfEm, "02_clevr": Clevr}
"""Notebook to parameters."""
