"""The benchmark's machinery, never a time: what is counted, compared, told and kept."""

import mmap
import multiprocessing as mp
import runpy
import shutil
import sys
import time
from dataclasses import replace
from unittest.mock import MagicMock

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import (
    counting,
    feature_decoder,
    measure,
    readers,
    report,
    scores,
    side_by_side,
    slot_attention,
    training_step,
)
from benchmarks.counting import Count, Rates, count, measured_rates
from benchmarks.evaluation import cases, evaluation_spec, noise_split, separately
from benchmarks.forms import Ours, Plain, make_batch, plain_model
from benchmarks.measure import Taken, compared, interleaved, judged, peak_memory, taken
from benchmarks.settings import Row, Settings
from slotnorm.tasks import ObjectDiscovery
from slotnorm_book.analyses.benchmark_results import (
    NOT_MEASURED,
    benchmark_table,
    describe_limits,
    describe_loads,
    floor_table,
    read_benchmark,
)
from slotnorm_book.experiments.test_sets import evaluate
from slotnorm_book.figures.cost import draw_benchmark_ratios

CPU = torch.device("cpu")
QUICK = Settings(quick=True, repeats=1)
ROW = Row("subject", "what", "size", "s")
TINY = ObjectDiscovery(16, num_slots=3, slot_dim=8, channels=8, encoder_layers=2, hidden_dim=8)


def test_forms_are_run_in_turn_and_the_first_round_does_not_count():
    order = []
    forms = {name: (lambda name=name: order.append(name)) for name in ("plain", "ours")}
    times = interleaved(forms, 3, CPU)
    assert order == ["plain", "ours"] * 4
    assert {name: len(taken) for name, taken in times.items()} == {"plain": 3, "ours": 3}


def about(device):
    return {"device": device, "edition": report.EDITION, "load": 2.0, "rates": {"product in fp32": 9}}


def calls(*seconds):
    return [Taken(each) for each in seconds]


def test_ratios_are_of_medians_with_the_range_over_repeats():
    row = compared(ROW, calls(2.0, 4.0, 30.0), calls(1.0, 2.0, 5.0), at_least=2.0)
    assert (row.plain, row.ours, row.ratio, row.spread, row.met) == (4.0, 2.0, 2.0, (2.0, 6.0), True)
    assert judged(ROW, 3.0, 2.0, at_least=2.0).met is False
    assert judged(ROW, None, 2.0, at_least=2.0).met is None


def test_page_faults_and_the_time_of_the_system_are_told_of_both_forms():
    row = compared(ROW, [Taken(2.0, system=0.5, faults=1000), Taken(2.0, faults=2000)], calls(1.0, 1.0))
    plain, ours = "1,500 page faults, 12% of the time in the system", "0 page faults, 0% of the time in the system"
    assert row.used == f"plain {plain}; ours {ours}"


def test_a_call_that_touches_new_memory_has_page_faults():
    size = 64 * 2**20
    found = taken(lambda: mmap.mmap(-1, size).write(bytes(size)), CPU)
    assert found.faults > 10
    assert found.seconds > 0


def test_peak_memory_is_what_a_call_takes_at_most():
    found = peak_memory(lambda: [torch.ones(2**22) for _ in range(4)] and None, CPU)  # 64 MiB at once
    if found is None:
        pytest.skip("this system does not tell a process its peak")
    assert 50 < found < 80


def test_peak_memory_is_unknown_where_the_system_does_not_tell_it(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "CLEAR", tmp_path / "none" / "clear_refs")
    assert peak_memory(lambda: None, CPU) is None
    monkeypatch.setattr(measure, "CLEAR", tmp_path / "clear_refs")
    monkeypatch.setattr(measure, "STATUS", tmp_path / "status")
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  1024 kB\n")
    assert peak_memory(lambda: None, CPU) is None


def test_a_call_that_no_clock_can_measure_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"too short to measure: it took 0\.0 s"):
        compared(ROW, calls(1.0, 2.0), calls(0.0, 1.0))
    monkeypatch.setattr(counting, "interleaved", lambda forms, *_: dict.fromkeys(forms, calls(0.0)))
    with pytest.raises(ValueError, match="too short to measure"):
        measured_rates.__wrapped__(CPU, quick=True)


def test_operations_of_products_and_bytes_of_everything_are_counted():
    def prepare():
        a, b = torch.randn(3, 5), torch.randn(5, 7)
        return lambda: (a @ b).T.relu()

    assert count(prepare) == Count(operations=2 * 3 * 5 * 7, bytes=4 * (15 + 35 + 21) + 4 * 2 * 21)


def test_the_limit_is_the_fastest_way():
    rates = Rates({"product in fp32": 1e9, "convolution in fp32": 2e9}, bytes=1e9)
    assert rates.floor(Count(4 * 10**9, 0)) == 2.0
    assert rates.share(Count(4 * 10**9, 0), 8.0) == "25% of the limit, 2 GFLOP/s in a convolution in fp32"


def test_three_ways_are_measured():
    rates = measured_rates(CPU, quick=True)
    assert list(rates.ways) == ["product in fp32", "convolution in fp32", "product in bf16"]
    assert min(rates.ways.values()) > 0


def test_every_training_step_has_both_precisions_on_both_sides():
    spec = command.training_step.spec(TINY, 2)
    for precision, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
        each = replace(spec, precision=precision)
        batch = make_batch(each, CPU)
        for form in (Plain(each, batch), Ours(each, batch)):
            found = []
            form.model.encoder.convs[0].register_forward_hook(lambda *a, found=found: found.append(a[-1].dtype))
            form()
            assert found == [dtype]


@pytest.mark.parametrize("settings", [Settings(), Settings(device=torch.device("cuda"))], ids=lambda s: s.device.type)
def test_both_forms_of_every_model_have_the_same_parameters(settings):
    tasks = [case.task for case in cases(settings)] + [case.spec.task for case in training_step.cases(settings)]
    for task in tasks:
        with torch.device("meta"):
            plain, ours = plain_model(task), task.build("weighted_mean")
        shapes = {name: tuple(value.shape) for name, value in ours.state_dict().items()}
        assert {name: tuple(value.shape) for name, value in plain.state_dict().items()} == shapes, task


def test_on_a_gpu_the_aim_is_for_ours_in_bf16_beside_plain_in_fp32():
    cards = command.ON_A_GPU
    assert [what for whats in cards.values() for what, aim in whats.items() if "x" in aim] == [
        "CLEVR, Tables 2 and 3, ours in bf16 beside plain in fp32",
        "MOVi-C, Tables 4 and 5, ours in bf16 beside plain in fp32",
        "time, ours in bf16 beside plain in fp32",
    ]


def test_a_step_keeps_no_attention_but_the_softmax_output():
    module, inputs, noise = slot_attention._setup(2, 3, 7, CPU)
    assert slot_attention.kept(module, inputs, noise) == slot_attention.ITERATIONS


@pytest.mark.parametrize("case", cases(QUICK), ids=lambda case: type(case.task).__name__)
def test_nine_separate_evaluations_find_what_the_sweep_finds(case):
    model, yardstick = case.task.build("weighted_mean"), plain_model(case.task)
    with torch.no_grad():
        for parameter in model.parameters():  # fresh masks are nearly uniform, and their argmax is at rounding's mercy
            parameter.mul_(2)
    yardstick.load_state_dict(model.state_dict())
    split, spec = noise_split(case), evaluation_spec(case)
    table = evaluate(case.task, model, split, spec, bar=False).scenes
    for slots, found in separately(case, yardstick, split, spec).items():
        assert found == pytest.approx(table.loc[table["slots"] == slots, "f_ari"].tolist(), abs=0.02)


def test_the_loop_over_detections_finds_the_same_precision():
    predictions, targets = scores.detections(3)
    expected = [scores.loop.average_precision(predictions.tolist(), targets.tolist(), t) for t in scores.THRESHOLDS]
    assert scores.average_precision(predictions, targets).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("subject", [training_step, feature_decoder, slot_attention, scores], ids=lambda m: m.NAME)
def test_a_subject_turns(subject):
    rows = list(command.measured(subject.NAME, QUICK))
    assert rows
    assert {row.subject for row in rows} == {subject.NAME}
    assert all(row.met is None for row in rows)


@pytest.mark.slow
def test_runs_side_by_side_turn():
    assert [row.what for row in side_by_side.measure(QUICK)] == ["`--jobs 1`", "`--jobs 2`"]


@pytest.mark.slow
def test_a_run_side_by_side_that_dies_is_told(capfd):
    with pytest.raises(RuntimeError, match="ended with exit code 1"):
        side_by_side._run(2, 1, "no such device", quick=True)
    assert "no such device" in capfd.readouterr().err


def test_a_run_side_by_side_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(side_by_side, "PATIENCE_S", 0.01)
    process, pipe = mp.get_context("spawn").Process(target=time.sleep, args=(600,)), mp.Pipe()
    process.start()
    try:
        with pytest.raises(RuntimeError, match=r"said nothing for 0\.01 seconds"):
            side_by_side._receive(process, pipe[0])
    finally:
        process.terminate()
        process.join()


def test_without_a_gpu_its_rows_say_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    notes = [row.note for row in command.measured(feature_decoder.NAME, QUICK)]
    assert notes[-1] == "not measured: no GPU"
    assert command.main(["--device", "cuda"]) == 2
    assert capsys.readouterr().out == "not measured: no GPU\n"


def test_an_interpreter_without_tensorflow_is_refused(capsys, tmp_path):
    for python in (str(tmp_path / "nowhere"), shutil.which("false")):
        assert command.main(["--only", "data", "--tensorflow", python]) == 2
        assert f"--tensorflow: {python} is no Python" in capsys.readouterr().err


def test_the_reader_stands_beside_tensorflow_where_there_is_one(monkeypatch):
    found = {}
    monkeypatch.setattr(readers, "tensorflow", lambda *_: readers.Rate(clock=20.0, processor=40.0))
    for python in (None, "python"):
        rows = readers.measure(replace(QUICK, tensorflow=python))
        found[python] = [row for row in rows if row.what.endswith("beside TensorFlow's parse")]
    assert [row.what for row in found[None]] == [row.what for row in found["python"]]
    assert all(row.ours is None and row.note.startswith("not measured: ") for row in found[None])
    assert [row.ratio for row in found["python"]] == [row.ours / 40 for row in found["python"]]


def test_tensorflow_reads_once_untimed_and_then_the_fastest_counts(monkeypatch, capsys):
    tensorflow, readings = MagicMock(), []
    scenes = tensorflow.data.TFRecordDataset.return_value.map.return_value
    scenes.__iter__.side_effect = lambda: readings.append(1) or iter([])
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setattr(sys, "argv", ["tensorflow_clevr.py", "file", "3"])
    clock, processor = iter([0, 9, 10, 13, 20, 22, 30, 35]), iter([0, 9, 10, 12, 20, 21, 30, 34])
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: next(clock))
        patch.setattr(time, "process_time", lambda: next(processor))
        runpy.run_path(str(readers.TENSORFLOW), run_name="__main__")
    assert len(readings) == 4
    assert capsys.readouterr().out == "2 1\n"


def test_a_rate_too_fast_for_the_clock_is_refused(monkeypatch):
    monkeypatch.setattr(readers, "_processor_time", lambda: 1.0)
    with pytest.raises(ValueError, match="3 items are too few to measure"):
        readers.timed(3, lambda: None)


def test_rates_are_items_over_seconds_of_clock_and_processor(monkeypatch):
    clock, processor = iter([1.0, 5.0]), iter([10.0, 12.0])
    monkeypatch.setattr(readers.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(readers, "_processor_time", lambda: next(processor))
    assert readers.timed(8, lambda: None) == readers.Rate(clock=2.0, processor=4.0)


def test_subjects_are_kept_beside_each_other_and_read_back(tmp_path):
    path, one, two = tmp_path / "results.json", about("one"), about("two")
    report.write(path, "a", [compared(ROW, calls(2.0), calls(1.0))], one)
    report.write(path, "b", [Row("b", "other", "", "MiB", note="not measured")], one)
    report.write(path, "a", [compared(ROW, calls(5.0), calls(1.0))], two)
    report.write(path, "a", [compared(ROW, calls(3.0), calls(1.0))], one)
    rows, machines = read_benchmark(path)
    assert rows["what"].tolist() == ["what", "other", "what"]
    assert rows["device"].tolist() == ["one", "one", "two"]
    assert rows["ratio"].tolist()[::2] == [3.0, 5.0]
    assert machines == {"one": {"a": one, "b": one}, "two": {"a": two}}


def test_numbers_of_another_edition_are_removed_when_a_file_is_written(tmp_path):
    path, old = tmp_path / "results.json", about("one")
    for stale in (old | {"edition": report.EDITION - 1}, {"device": "two"}):
        report.write(path, "a", [ROW], stale)
    report.write(path, "b", [replace(ROW, subject="b")], old)
    assert read_benchmark(path)[1] == {"one": {"b": old}}


def test_a_quick_run_says_nothing_about_speed(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(command.SUBJECTS, "a", lambda settings: iter([ROW]))
    assert command.main(["--quick", "--only", "a"]) == 0
    assert capsys.readouterr().out.endswith("Its numbers say nothing about speed.\n")
    path = tmp_path / "results.json"
    assert command.main(["--quick", "--only", "a", "--json", str(path)]) == 2
    assert "--quick measures no speed" in capsys.readouterr().err
    assert not path.exists()


def test_the_table_is_markdown_of_one_width():
    lines = report.markdown([compared(ROW, calls(2.0), calls(1.0), at_least=1.5)], {"processor": "one"}).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert "2.00x (2.00 to 2.00)" in table[-1]
    assert "yes" in table[-1]


def test_the_committed_numbers_say_what_they_were_measured_on():
    rows, machines = read_benchmark()
    assert all(set(subjects) <= set(command.SUBJECTS) for subjects in machines.values())
    assert set(zip(rows["device"], rows["subject"], strict=True)) == {
        (device, subject) for device, subjects in machines.items() for subject in subjects
    }
    for device, about in ((device, about) for device, subjects in machines.items() for about in subjects.values()):
        assert about["device"] == device
        assert about["edition"] == report.EDITION
        assert not about["quick"]
        assert {"processor", "cores", "load", "load_after", "rates", "versions", "commit", "date"} <= about.keys()
    unmeasured = rows[rows["ours"].isna()]
    assert unmeasured["note"].str.startswith("not measured: ").all()


def test_the_page_s_table_tells_what_was_met_missed_and_not_measured(tmp_path):
    path = tmp_path / "results.json"
    aimed = replace(ROW, aim="≥ 1.5x", floor="3 GFLOP")
    rows = [
        compared(aimed, calls(2.0), calls(1.0), at_least=1.5),
        compared(replace(aimed, what="slow"), calls(1.0), calls(1.0), at_least=1.5),
        Row("b", "other", "", "MiB", aim="≥ 4x", note="not measured"),
        Row("b", "alone", "", "MiB", ours=7.0),
    ]
    report.write(path, "a", rows, about("one"))
    report.write(path, "a", rows[:1], about("two"))
    found, machines = read_benchmark(path)
    table = benchmark_table(found)
    assert table["one"].tolist() == ["2 → 1 s, 2×, met", "1 → 1 s, 1×, **missed**", "not measured", "7 MiB"]
    assert table["two"].tolist() == ["2 → 1 s, 2×, met", "–", "–", "–"]
    assert table["aim"].tolist() == ["≥ 1.5x", "≥ 1.5x", "≥ 4x", ""]
    assert floor_table(found)["device"].tolist() == ["one", "one", "two"]
    assert floor_table(found)["memory and system"].tolist() == [rows[0].used] * 3
    assert describe_loads(machines) == "one (load 2 to 2), two (load 2 to 2)"
    assert describe_limits(machines) == "one: 9 in a product in fp32; two: 9 in a product in fp32"


def test_the_page_says_where_nothing_is_measured(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("{}")
    rows, machines = read_benchmark(path)
    for table in (benchmark_table(rows), floor_table(rows)):
        assert table.to_numpy().tolist() == [[NOT_MEASURED]]
    assert describe_loads(machines) == describe_limits(machines) == NOT_MEASURED
    assert [text.get_text() for text in draw_benchmark_ratios(rows).texts] == [NOT_MEASURED]
