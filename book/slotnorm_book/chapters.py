"""The parameters of every chapter: one class each, checked before any work.

The class gives each parameter a type, a range and a meaning. Its default is in the notebook's ``parameters`` cell; the
defaults are a smoke run. The notebook's second cell reads the values, whether they come from that cell, from papermill
or from an edit, into a checked, frozen object:

    p = Clevr.from_notebook(globals())

Chapters on runs share the parameters of :class:`RunsChapter`; those whose experiments have one data set, which another
can replace, share those of :class:`ExperimentChapter`.
"""

import ast
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
from slotnorm_book.notebook_files import default_expressions
from slotnorm_book.suggestions import describe_unknown
from slotnorm_book.variants import BASELINE

__all__ = ["CHAPTERS", "ChapterParameters", "ParameterError"]


class VmfEm(ChapterParameters):
    """Chapter 1: Slot Attention compared with EM of a von Mises-Fisher mixture."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Field(description="device for EM; auto is cuda if there is one, otherwise cpu"),
        AfterValidator(check_device),
    ]
    points: int = Field(ge=64, le=1_000_000, description="points drawn from a mixture")
    components: int = Field(ge=2, le=20, description="components of a mixture")
    temperature: float = Field(gt=0, le=1, description="temperature of the mixtures, one over their concentration")
    trials: int = Field(ge=2, le=100_000, description="random instances for each check and verdict")
    slot_dim: int = Field(ge=6, le=512, description="features of a token and of a slot")
    scenes: int = Field(ge=50, le=100_000, description="scenes from whose update codes the regressors learn")
    fit_components: ListOf[SlotCount] = Field(description="component counts that EM is run with")
    mixtures: int = Field(ge=1, le=1000, description="mixtures that EM is run on for each component count")


class RunsChapter(ChapterParameters):
    """Parameters shared by all chapters on runs: which runs to show, from where, whether to train missing ones."""

    scale: Literal["smoke", "cpu", "gpu", "paper"] = Field(
        description="size of the runs: seconds, minutes on one core, minutes on a GPU, or the paper's protocol"
    )
    store: str | None = Field(
        description="folder or address of the run store; None for a temporary one, at the smoke scale only"
    )
    missing: Literal["train", "report"] = Field(
        description="train the runs that are missing, or report: show those that are there and list the others"
    )
    variants: ListOf[NormalizationName] | None = Field(description="normalizations; None for those of the recipe")
    seeds: ListOf[Annotated[int, Field(ge=0)]] | None = Field(
        description="seeds, one run each; None for those of the recipe"
    )
    slots: ListOf[SlotCount] | None = Field(description="slot counts at evaluation; None for those of the recipe")

    @field_validator("store")
    @classmethod
    def _is_needed(cls, store: str | None, info: Any) -> str | None:
        if store is not None and not store.strip():
            raise ValueError("a run store must be a folder or an address; None is a temporary one")
        if store is None and info.data.get("scale", "smoke") != "smoke":
            raise ValueError(f"the {info.data['scale']} scale needs the folder of a run store")
        return store

    @cached_property
    def temporary(self) -> TemporaryDirectory[str]:
        """A temporary folder, which is deleted when this process ends."""
        return TemporaryDirectory(prefix="slotnorm-runs-")

    @cached_property
    def run_store(self) -> RunStore:
        """The run store; a relative path is looked up in the working directory, then in the root of the checkout."""
        if self.store is None:
            return RunStore(self.temporary.name)
        return RunStore(self.store if "://" in self.store else resolve_path(self.store))

    def recipe(self, experiment: str) -> Recipe:
        """Return the recipe of an experiment, changed by the parameters."""
        return recipe(experiment, self.scale).select(self.variants, self.seeds, self.slots)

    def results(self, experiment: str) -> Results:
        """Collect the runs of an experiment; missing ones are trained or listed, as ``missing`` says."""
        return collect(self.recipe(experiment), self.run_store, self.missing, Execution(self.torch_device))


class ExperimentChapter(RunsChapter):
    """Parameters shared by all chapters whose experiments have the same data, which others can replace."""

    data: str | None = Field(
        description="folder of prepared splits, TFRecord file or name of a stand-in; None for the recipe's data"
    )

    @field_validator("data")
    @classmethod
    def _exists(cls, data: str | None, info: Any) -> str | None:
        """Check that the data are here, unless runs are only shown, which are found by what their records say."""
        return data if data is None or info.data.get("missing") == "report" else check_data_exists(data)

    def recipe(self, experiment: str) -> Recipe:
        """Return the recipe of an experiment, changed by the parameters."""
        chosen = super().recipe(experiment)
        return chosen.with_data(self.data, self.data_of_tests) if self.data else chosen

    @property
    def data_of_tests(self) -> str | None:
        """The data of the test sets; ``None`` for those of the training."""
        return None


class Clevr(ExperimentChapter):
    """Chapter 2: Object discovery on CLEVR."""


class MoviC(ExperimentChapter):
    """Chapter 3: Object discovery on MOVi-C."""


class MoviD(ExperimentChapter):
    """Chapter 4: Transfer from MOVi-C to MOVi-D."""

    test_data: str | None = Field(description="as data, for the scenes of the test; None for the recipe's data")

    @field_validator("test_data")
    @classmethod
    def _exists_too(cls, test_data: str | None, info: Any) -> str | None:
        if (test_data is None) != (info.data.get("data") is None):
            raise ValueError("data and test_data must be given together, MOVi-C for one and MOVi-D for the other")
        return cls._exists(test_data, info)

    @property
    def data_of_tests(self) -> str | None:
        """The data of the test sets."""
        return self.test_data


class Properties(ExperimentChapter):
    """Chapter 5: Property prediction on CLEVR."""


class Ablations(ExperimentChapter):
    """Chapter 6: Ablations of the normalization, on property prediction."""


class Beyond(ExperimentChapter):
    """Chapter 7: Beyond the paper, on models trained with 6 objects and 7 slots."""

    factors: ListOf[Annotated[float, Field(gt=0)]] | None = Field(
        description="scales C of the weighted sum as multiples of N, besides C = N; None for those of the recipe"
    )
    page_scenes: int = Field(
        ge=2, description="scenes for what the page itself computes; at most those of the test set"
    )

    def recipe(self, experiment: str) -> Recipe:
        """Return the recipe as every chapter does; ``factors`` sets the variants of the experiment ``scale``.

        Of CLEVR the page needs the baseline alone; ``data`` are features and do not replace its images.
        """
        if experiment == "clevr-6-7":
            return recipe(experiment, self.scale).select([BASELINE], self.seeds, self.slots)
        chosen = super().recipe(experiment)
        if experiment != "scale":
            return chosen
        names = map(scaled_name, (1.0, *self.factors)) if self.factors else recipe(experiment, self.scale).variants
        return chosen.select(variants=tuple(dict.fromkeys(names)))


def check_segments_scenes(experiment: str) -> str:
    """Check that the models of an experiment segment scenes, and return its name."""
    if experiment not in EXPERIMENTS:
        raise ValueError(describe_unknown("experiment", experiment, EXPERIMENTS))
    if not isinstance(recipe(experiment, "smoke").task, ObjectDiscovery | FeatureDiscovery):
        raise ValueError(f"the models of {experiment} predict properties; name an experiment on object discovery")
    return experiment


class Explorer(ExperimentChapter):
    """Explorer: Scenes at every slot count, all variants side by side."""

    experiments: ListOf[Annotated[str, AfterValidator(check_segments_scenes)]] = Field(
        description="experiments on object discovery; one without a model of every variant is left out"
    )
    scenes: int = Field(ge=2, le=24, description="number of scenes of each experiment")

    @field_validator("experiments")
    @classmethod
    def _have_one_data_set(cls, experiments: tuple[str, ...], info: Any) -> tuple[str, ...]:
        chosen = [recipe(name, "smoke") for name in experiments]
        used = {source.data for each in chosen for source in (each.train, *(test.source for test in each.tests))}
        if info.data.get("data") is not None and len(used) > 1:
            raise ValueError("with data, name experiments on one data set, such as clevr-6-7 and clevr-6-11")
        return experiments


class Claims(RunsChapter):
    """Chapter 8: The paper's claims, judged on the records of all experiments."""

    trials: int = Field(ge=2, le=100_000, description="random instances for each verdict on a mechanism")


class Cost(RunsChapter):
    """Chapter 9: The cost of the runs, and of the paper's protocol."""

    card: str = Field(description="GPU for which costs are estimated where no run on one is recorded")
    peak: float = Field(
        gt=0, description="peak performance of this GPU in the recipe's precision, in 10^12 operations per second"
    )
    utilization: float = Field(gt=0, le=1, description="share of the peak that training is assumed to reach")


class PaperVersusCode(RunsChapter):
    """Appendix: Paper versus code, where they differ and how that changes the results."""

    page_scenes: int = Field(
        ge=2, description="scenes for what the page itself computes; at most those of the test set"
    )


class Data(ChapterParameters):
    """Appendix: Data, the stand-ins for real data that is not available."""

    data: Annotated[str, AfterValidator(check_data_exists)] = Field(
        description="data shown first: TFRecord file of CLEVR-with-masks, prepared split, or name of a stand-in"
    )
    image_size: int = Field(ge=16, le=256, description="height and width of the images in pixels")
    scenes: int = Field(ge=1, le=1_000_000, description="number of scenes to generate of each stand-in")
    shown: int = Field(ge=2, le=8, description="number of scenes in a figure")


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
"""Name of each notebook to the class of its parameters."""


def select_chapters(names: Iterable[str]) -> list[str]:
    """Return the chapters of these names or notebook paths, or all chapters for no name.

    Raises:
        ParameterError: there is no such chapter.
    """
    wanted = [Path(name).name.removesuffix(".ipynb") for name in names]
    if unknown := [name for name in wanted if name not in CHAPTERS]:
        raise ParameterError(describe_unknown("chapter", unknown[0], CHAPTERS))
    return wanted or list(CHAPTERS)


def list_chapters() -> str:
    """List every chapter and its subject, one per line."""
    width = max(map(len, CHAPTERS))
    lines = [f"  {name:{width}}  {_summary(name)}" for name in CHAPTERS]
    more = "`slotnorm-book parameters NAME` lists what can be set in a chapter, which is notebooks/NAME.ipynb."
    return "\n".join(["Chapters:", *lines, "", more])


def list_parameters(chapter: str) -> str:
    """List the parameters of a chapter with meaning, type and default, and say how to set one.

    Raises:
        ParameterError: the chapter's notebook cannot be read, or does not assign its parameters.
    """
    path, rows = NOTEBOOKS / f"{chapter}.ipynb", CHAPTERS[chapter].rows()
    defaults = {name: ast.unparse(expression) for name, expression in default_expressions(path).items()}
    if missing := [name for name, _, _ in rows if name not in defaults]:
        raise ParameterError(f"{path}: the cell 'parameters' does not assign {', '.join(missing)}")
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{chapter}: {_summary(chapter)}", ""]
    for name, kind, meaning in rows:
        lines += [f"  {name:{width}}  {meaning}", f"  {'':{width}}  {kind}; default {defaults[name]}"]
    return "\n".join([*lines, "", f"Set one: papermill notebooks/{chapter}.ipynb out.ipynb -p NAME VALUE"])


def _summary(chapter: str) -> str:
    return str(CHAPTERS[chapter].__doc__).splitlines()[0]
