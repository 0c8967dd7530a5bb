"""The verdicts of the first campaign beside those of today."""

from dataclasses import replace
from pathlib import Path

import pytest

from slotnorm_book.checkout import CheckoutError
from slotnorm_book.claims.claim import Verdict
from slotnorm_book.claims.first_campaign import COLUMNS, changes_table
from slotnorm_book.claims.judge import judge_all
from slotnorm_book.claims.ledger import RESULT_CLAIMS


def test_every_claim_of_the_first_edition_has_a_row() -> None:
    table = changes_table(judge_all({}, seed=0, trials=2))
    assert tuple(table.columns) == COLUMNS
    assert [row.split("**")[1] for row in table["claim"]] == [f"R{i}" for i in range(1, 18)]
    assert set(table["first campaign"]) == {"? inconclusive", "✗ contradicted"}
    assert set(table["today"]) == {"**– not run**"}


def test_a_verdict_that_stays_is_not_in_bold(tmp_path: Path) -> None:
    file = tmp_path / "first.csv"
    file.write_text("claim,first outcome,change of the rule\nR1,inconclusive,a *rule*\nR12,contradicted,\n")
    same = replace(Verdict.not_run(RESULT_CLAIMS["R1"], "runs"), outcome="inconclusive")
    other = replace(Verdict.not_run(RESULT_CLAIMS["R12"], "runs"), outcome="not decidable")
    first, second = changes_table([same, other], file).to_dict("records")
    assert (first["today"], second["today"]) == ("? inconclusive", "**⊘ not decidable**")
    assert first["what changed"] == r"other recipes; rule: a \*rule\*"
    assert "found no objects" in second["what changed"]
    assert second["what changed"].endswith("; rule: a comparison needs models that find objects, or a least precision")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "a table with the columns claim, first outcome, change of the rule is needed"),
        ("claim,outcome\nR1,inconclusive\n", "first outcome, change of the rule is needed"),
        ("claim,first outcome,change of the rule\nR1,maybe,\n", "an outcome is one of reproduced, .* not maybe"),
    ],
)
def test_an_unusable_file_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "first.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CheckoutError, match=rf"first\.csv: .*{said}"):
        changes_table([], file)
