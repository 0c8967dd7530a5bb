"""The parameters of every chapter: one class each, checked before any work.

A field has a type, a range and a meaning here; its default is in the notebook's ``parameters`` cell and is the smoke
run. A notebook's second cell turns what that cell, papermill or a reader's hand has set into a checked, frozen object:

    p = Clevr.from_notebook(globals())

Chapters that show an experiment of the paper share the parameters of :class:`ExperimentChapter`.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from slotnorm.normalization import scaled_name
from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery
from slotnorm_book.chapter_parameters import (
    ChapterParameters,
    ListOf,
    NormalizationName,
    ParameterError,
    SlotCount,
    check_data_exists,
    check_device,
)
from slotnorm_book.checkout import NOTEBOOKS
from slotnorm_book.experiments.data_sources import resolve_path
from slotnorm_book.experiments.engine import Execution
from slotnorm_book.experiments.recipes import EXPERIMENTS, recipe
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.results import Results, collect
from slotnorm_book.experiments.run_store import RunStore

__all__ = ["CHAPTERS", "ChapterParameters", "ParameterError"]


class VmfEm(ChapterParameters):
    """Chapter 1: expectation maximization of a von Mises-Fisher mixture beside Slot Attention, in double precision."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Field(description="where EM is run; auto: cuda where there is one, otherwise cpu"),
        AfterValidator(check_device),
    ]
    points: int = Field(ge=64, le=1_000_000, description="points drawn from a mixture")
    components: int = Field(ge=2, le=20, description="components of a mixture")
    temperature: float = Field(gt=0, le=1, description="temperature of the mixtures, one over their concentration")
    trials: int = Field(ge=2, le=100_000, description="random instances behind each check and verdict")
    slot_dim: int = Field(ge=6, le=512, description="features of a token and of a slot")
    scenes: int = Field(ge=50, le=100_000, description="scenes whose update codes the regressors learn from")
    fit_components: ListOf[SlotCount] = Field(description="component counts that EM is run with")
    mixtures: int = Field(ge=1, le=1000, description="mixtures that EM is run on for each component count")


class ExperimentChapter(ChapterParameters):
    """What chapters with an experiment of the paper have in common: which runs, from where, and what if they lack."""

    scale: Literal["smoke", "cpu", "gpu", "paper"] = Field(
        description="of the recipe: seconds, minutes a run on a core, minutes a run on a GPU, the paper's protocol"
    )
    store: str | None = Field(
        description="folder or address of the run store; None is a temporary one, for the smoke scale"
    )
    missing: Literal["train", "report"] = Field(
        description="train what the store lacks, or report: show what there is and list what is missing"
    )
    variants: ListOf[NormalizationName] | None = Field(description="normalizations; None for the recipe's")
    seeds: ListOf[Annotated[int, Field(ge=0)]] | None = Field(description="one run each; None for the recipe's")
    slots: ListOf[SlotCount] | None = Field(description="slot counts at evaluation; None for the recipe's")
    data: Annotated[str, AfterValidator(check_data_exists)] | None = Field(
        description="folder of prepared splits, TFRecord or a stand-in's name; None for the recipe's"
    )

    @field_validator("store")
    @classmethod
    def _is_needed(cls, store: str | None, info: Any) -> str | None:
        if store is None and info.data.get("scale", "smoke") != "smoke":
            raise ValueError(f"the {info.data['scale']} scale needs the folder of a run store")
        return store

    @cached_property
    def temporary(self) -> TemporaryDirectory[str]:
        """A folder that is gone when this process is."""
        return TemporaryDirectory(prefix="slotnorm-runs-")

    @cached_property
    def run_store(self) -> RunStore:
        """The store, from the working directory or the checkout's root."""
        if self.store is None:
            return RunStore(self.temporary.name)
        return RunStore(self.store if "://" in self.store else resolve_path(self.store))

    def recipe(self, experiment: str) -> Recipe:
        """The experiment's recipe with what the parameters change of it."""
        chosen = recipe(experiment, self.scale).select(self.variants, self.seeds, self.slots)
        return chosen.with_data(self.data) if self.data else chosen

    def results(self, experiment: str) -> Results:
        """The experiment's runs from the store; what it lacks is trained or listed as ``missing`` says."""
        return collect(self.recipe(experiment), self.run_store, self.missing, Execution(self.torch_device))


class Clevr(ExperimentChapter):
    """Chapter 2: object discovery on CLEVR."""


class MoviC(ExperimentChapter):
    """Chapter 3: object discovery on MOVi-C."""


class MoviD(ExperimentChapter):
    """Chapter 4: models trained on MOVi-C, shown MOVi-D."""


class Properties(ExperimentChapter):
    """Chapter 5: property prediction on CLEVR."""


class Ablations(ExperimentChapter):
    """Chapter 6: the ablations of the normalization, on property prediction."""


class Beyond(ExperimentChapter):
    """Chapter 7: what the paper suggests and did not try, on the runs of MOVi-C (6, 7)."""

    factors: ListOf[Annotated[float, Field(gt=0)]] | None = Field(
        description="scales C of the weighted sum over N, besides C = N; None for the recipe's"
    )
    page_scenes: int = Field(ge=2, description="scenes of what the page itself computes; at most the test set's")

    def recipe(self, experiment: str) -> Recipe:
        """As of every chapter; ``factors`` are the variants of the experiment ``scale``."""
        chosen = super().recipe(experiment)
        if experiment != "scale":
            return chosen
        names = map(scaled_name, (1.0, *self.factors)) if self.factors else recipe(experiment, self.scale).variants
        return chosen.select(variants=tuple(dict.fromkeys(names)))


def check_segments_scenes(experiment: str) -> str:
    """The name, if it is that of an experiment whose models segment scenes."""
    if experiment not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {experiment!r}; there are {', '.join(EXPERIMENTS)}")
    if not isinstance(recipe(experiment, "smoke").task, ObjectDiscovery | FeatureDiscovery):
        raise ValueError(f"the models of {experiment} predict properties and segment nothing that could be shown")
    return experiment


class Explorer(ExperimentChapter):
    """Explorer: scenes at every slot count, all variants beside each other."""

    experiments: ListOf[Annotated[str, AfterValidator(check_segments_scenes)]] = Field(
        description="object discovery to choose from; an experiment without a model of every variant is left out"
    )
    scenes: int = Field(ge=2, le=24, description="scenes of each experiment to choose from")


class Claims(ExperimentChapter):
    """The claims ledger: every claim of the paper judged on the records of all experiments."""

    trials: int = Field(ge=2, le=100_000, description="random instances behind each verdict about mechanism")


class Cost(ExperimentChapter):
    """What the runs took, and what the paper's protocol would take."""

    card: str = Field(description="name of the GPU that an estimate is made for where no run on one is recorded")
    peak: float = Field(gt=0, description="its operations per second in the recipe's precision, in units of 10^12")
    utilization: float = Field(gt=0, le=1, description="share of the peak that a training is taken to reach")


class PaperVersusCode(ExperimentChapter):
    """Paper versus code: where they disagree, and what the details do to the results."""

    page_scenes: int = Field(ge=2, description="scenes of what the page itself computes; at most the test set's")


class Data(ChapterParameters):
    """Appendix: the stand-ins that chapters are run on where the real data are not to be had."""

    data: Annotated[str, AfterValidator(check_data_exists)] = Field(
        description="what to show first: CLEVR-with-masks TFRecord, prepared split, or a stand-in's name"
    )
    image_size: int = Field(ge=16, le=256, description="height and width of the images in pixels")
    scenes: int = Field(ge=1, le=1_000_000, description="scenes to draw of each stand-in")
    shown: int = Field(ge=2, le=8, description="scenes in a figure")


CHAPTERS: dict[str, type[ChapterParameters]] = {
    "01_vmf_em": VmfEm,
    "02_clevr": Clevr,
    "03_movi_c": MoviC,
    "04_movi_d": MoviD,
    "05_properties": Properties,
    "06_ablations": Ablations,
    "07_beyond": Beyond,
    "08_claims": Claims,
    "09_cost": Cost,
    "80_explorer": Explorer,
    "90_data": Data,
    "91_paper_versus_code": PaperVersusCode,
}
"""Notebook to parameters."""


def select_chapters(names: Iterable[str]) -> list[str]:
    """Return the chapters of these names or notebook paths, or all chapters for no name.

    Raises:
        ParameterError: there is no such chapter.
    """
    wanted = [Path(name).name.removesuffix(".ipynb") for name in names]
    if unknown := [name for name in wanted if name not in CHAPTERS]:
        raise ParameterError(f"no chapter {', '.join(unknown)}; there are {', '.join(CHAPTERS)}")
    return wanted or list(CHAPTERS)


def list_chapters() -> str:
    """List every chapter with what it is about, one a line."""
    width = max(map(len, CHAPTERS))
    lines = [f"  {name:{width}}  {_summary(name)}" for name in CHAPTERS]
    more = "slotnorm-book parameters CHAPTER lists what can be set."
    return "\n".join(["Chapters, notebooks/NAME.ipynb:", *lines, "", more])


def list_parameters(chapter: str) -> str:
    """List the parameters of a chapter with meaning, type and default, and tell how to set one."""
    import papermill

    defaults = papermill.inspect_notebook(str(NOTEBOOKS / f"{chapter}.ipynb"))
    rows = CHAPTERS[chapter].rows()
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{chapter}: {_summary(chapter)}", ""]
    for name, kind, meaning in rows:
        lines += [f"  {name:{width}}  {meaning}", f"  {'':{width}}  {kind}; default {defaults[name]['default']}"]
    return "\n".join([*lines, "", f"papermill notebooks/{chapter}.ipynb out.ipynb -p NAME VALUE"])


def _summary(chapter: str) -> str:
    return str(CHAPTERS[chapter].__doc__).splitlines()[0]
