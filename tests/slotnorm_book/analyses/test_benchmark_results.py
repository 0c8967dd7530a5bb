"""Tables of the benchmark: the machine's name is text, not Markdown."""

import pandas as pd

from slotnorm_book.analyses.benchmark_results import benchmark_table, floor_table


def test_the_name_of_a_device_is_no_markdown() -> None:
    row = {"subject": "step", "what": "fast", "size": "", "unit": "s", "plain": 2.0, "ours": 1.0, "ratio": 2.0}
    rows = pd.DataFrame(
        [{"device": "<b>|`x`", **row, "aim": "", "met": None, "floor": "3 GFLOP", "used": "", "note": ""}]
    )
    escaped = r"\<b\>\|\`x\`"
    assert benchmark_table(rows).columns.tolist() == ["what", "size", "aim", escaped]
    assert floor_table(rows)["device"].tolist() == [escaped]
