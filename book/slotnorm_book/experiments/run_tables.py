"""The tables of a run as Parquet files: written as they are, checked when they are read."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
import pyarrow.parquet as pq
from pandas.api.types import is_integer_dtype, is_numeric_dtype, is_string_dtype

from slotnorm.evaluation import SET_COLUMNS, SETTING, Evaluation
from slotnorm.training.checkpoint import Curve
from slotnorm_book.experiments.record import CURVE, SCENES, SETS

MOST_ROWS = 10_000_000
"""More than any run has; a file of a few bytes can say that it has billions."""
COLUMNS = {CURVE: ["step", "loss", "gradient_norm", "f_ari"], SCENES: SETTING, SETS: SET_COLUMNS}
"""The columns that a table must have. That of the scenes has more: the measures that there were when it was made."""
TEXT = ("evaluation", "measure")
WHOLE = ("step", "slots", "iterations")


class TableError(ValueError):
    """A content that is not the table that it should be; the message is the reason, in one line."""


def make_evaluation_files(evaluation: Evaluation) -> dict[str, bytes]:
    """Encode the tables of an evaluation, by name."""
    files = {SCENES: encode_table(evaluation.scenes)}
    return files | ({SETS: encode_table(evaluation.sets)} if len(evaluation.sets) else {})


def make_curve_table(curve: Curve) -> pd.DataFrame:
    """Make the table of a training curve: one row per step; what was probed is NaN at the other steps."""
    table = pd.DataFrame({"loss": curve.loss.numpy(), "gradient_norm": curve.gradient_norm.numpy()})
    table.insert(0, "step", table.index + 1)
    probes = {"f_ari": curve.probe_f_ari.numpy(), "blind_f_ari": curve.probe_blind_f_ari.numpy()}
    return table.join(pd.DataFrame(probes, index=curve.probe_step.numpy() - 1, dtype="float32"))


def encode_table(table: pd.DataFrame) -> bytes:
    """Encode a table as Parquet, its measures in single precision and byte by byte: a third of the size."""
    buffer = io.BytesIO()
    single = table.astype(dict.fromkeys(table.select_dtypes("float64"), "float32"))
    measures = list(single.select_dtypes("float32"))
    rest = [name for name in single if name not in measures]
    single.to_parquet(buffer, index=False, compression="zstd", use_dictionary=rest, use_byte_stream_split=measures)
    return buffer.getvalue()


def decode_table(name: str, content: bytes) -> pd.DataFrame:
    """Decode a table of a run.

    Args:
        name: of the file, which says what columns it must have.
        content: of the file.

    Raises:
        TableError: it is no Parquet file, or lacks a column, or a column has values of another type.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        if file.metadata.num_rows > MOST_ROWS:
            raise TableError(f"says that it has {file.metadata.num_rows:,} rows; a run has at most {MOST_ROWS:,}")
        table = file.read().to_pandas()
    except TableError:
        raise
    except Exception as error:  # whatever pyarrow and pandas make of bytes that anybody can have written
        raise TableError(f"is no Parquet table: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from None
    _check_columns(table, COLUMNS[name])
    return table if name == CURVE else table.astype(dict.fromkeys(table.select_dtypes("float32"), "float64"))


def _check_columns(table: pd.DataFrame, needed: Sequence[str]) -> None:
    if lacking := [name for name in needed if name not in table.columns]:
        raise TableError(f"is not the table of a run: has no column {', '.join(lacking)}")
    if not table.columns.is_unique or not all(isinstance(name, str) for name in table.columns):
        raise TableError("is not the table of a run: two columns have one name, or one has none")
    for name, column in table.items():
        fits = is_string_dtype if name in TEXT else is_integer_dtype if name in WHOLE else is_numeric_dtype
        if not fits(column):
            raise TableError(f"is not the table of a run: column {str(name)[:40]!r} holds {column.dtype}")


def merge_evaluations(before: Evaluation, new: Evaluation) -> Evaluation:
    """Join two evaluations of a run; where both have a setting, the new rows replace those from before."""
    return Evaluation(_replace_rows(before.scenes, new.scenes), _replace_rows(before.sets, new.sets))


def _replace_rows(before: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    settings = pd.MultiIndex.from_frame(before[SETTING])
    kept = before[~settings.isin(pd.MultiIndex.from_frame(new[SETTING]))]
    tables = [table for table in (kept, new) if len(table)]
    columns = list(dict.fromkeys([*new.columns, *before.columns]))
    return pd.concat(tables or [new], ignore_index=True)[columns]
