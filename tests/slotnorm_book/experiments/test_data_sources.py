"""Makers of data that cannot be used are named, and the others go on."""

from importlib.metadata import EntryPoint

import pytest

from slotnorm.training.spec import SpecError
from slotnorm_book.experiments import data_sources
from slotnorm_book.experiments.data_sources import GROUP, Source, list_stand_ins

GOOD = EntryPoint("data_tools", "data_tools.catalog", GROUP)
BAD = {
    "absent": ("no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "no maker": ("json", "json is no Maker"),
    "no such name": ("json:nothing", "AttributeError: module 'json' has no attribute 'nothing'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_entry_point_that_cannot_be_used_does_not_stop_the_others(monkeypatch, kind):
    value, reason = BAD[kind]
    monkeypatch.setattr(data_sources, "entry_points", lambda group: [EntryPoint("broken", value, group), GOOD])
    for cached in (data_sources._load_entries, data_sources._makers):
        cached.cache_clear()
        monkeypatch.setattr(data_sources, cached.__name__, cached.__wrapped__)
    assert "synth-clevr" in list_stand_ins()
    assert Source("synth-clevr", "train", 32, 8).describe().name == "synth-clevr"
    with pytest.raises(SpecError, match=rf"'nowhere': no such folder.*the entry point broken in {GROUP} .*: {reason}$"):
        Source("nowhere", "train", 32, 8).describe()
