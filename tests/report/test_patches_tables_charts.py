"""Patches are written with three cuts of everything; tables say what a number means; charts bring what a page needs and no more."""

import numpy as np
from PIL import Image

from scroll.metrics.bootstrap import gain_of
from scroll.metrics.calibration import FoldPieces, Reliability
from scroll.report.charts import reliability_svg, sweep_svg
from scroll.report.patch_pictures import LEAST_PX, LINE, MOST_PX, Patch, grey, marked, save_patches
from scroll.report.score_record import ByFold, InkGain, InkRow, OutOfFold
from scroll.report.tables import LISTED, cell, fold_table, made_with, receipts
from scroll.runtime.receipt import write_receipt


def test_each_cut_of_each_column_is_a_picture_beside_its_record(tmp_path):
    prob = {"z": np.full((30, 40), 0.5), "y": np.zeros((10, 40)), "x": np.ones((10, 30))}
    patch = Patch("a", "worst", 0.25, (3, 4, 5), (0, 1, 2), (10, 30, 40), {"CT": prob, "ensemble": prob})
    (tmp_path / "patches" / "best-9").mkdir(parents=True)
    (record,) = save_patches(tmp_path / "patches", [patch])
    assert record.where == (3, 4, 5) and record.columns == ("CT", "ensemble") and list(record.cuts) == ["z", "y", "x"]
    picture = np.asarray(Image.open(tmp_path / record.cuts["z"]["ensemble"]))
    assert picture.shape == (60, 80) and (picture == 128).all(), "enlarged by a whole number"
    assert np.asarray(Image.open(tmp_path / record.cuts["x"]["CT"])).max() == 255
    assert not (tmp_path / "patches" / "best-9").exists(), "what an earlier score left is gone"


def test_pictures_are_never_larger_than_a_thumb_and_never_blurred_up(tmp_path):
    cuts = {axis: np.random.default_rng(0).random((500, 250)) for axis in "zyx"}
    (record,) = save_patches(
        tmp_path / "patches", [Patch("a", "best", 1, (0, 0, 0), (0, 0, 0), (1, 1, 1), {"CT": cuts})]
    )
    size = Image.open(tmp_path / record.cuts["z"]["CT"]).size
    assert size == (MOST_PX // 2, MOST_PX) and LEAST_PX < MOST_PX


def test_the_marks_are_where_the_other_cuts_go_and_leave_the_middle_free():
    picture = marked(grey(np.arange(2500).reshape(50, 50)), 10, 40)
    assert tuple(picture[10, 0]) == tuple(picture[10, 49]) == tuple(picture[0, 40]) == tuple(picture[49, 40]) == LINE
    assert tuple(picture[10, 25]) != LINE and picture.shape == (50, 50, 3)


def test_a_member_that_the_ensemble_misses_earns_its_place():
    gain = InkGain(over="a", difference=0.0, low=0.0, high=0.0, verdict="inside noise")
    row = InkRow(name="a", f05=0.5, without=gain_of(0.0213, 0.01, 0.03), gain=gain)
    assert cell(row, "without", "f05") == "+0.021 earns its place" and cell(row, "gain", "f05") == "–"
    assert cell(InkRow(name="b", f05=0.5, without=gain_of(-0.01, -0.02, -0.001)), "without", "f05") == "−0.010 harms"
    assert cell(InkRow(name="c", f05=0.5), "without", "f05") == "–"


def test_the_fold_table_has_a_column_a_fold_and_one_for_all_under_each_metric():
    of = ByFold(folds=({"f05": 0.1, "ap": None}, {"f05": 0.2, "ap": 0.4}), all={"f05": 0.15, "ap": 0.3})
    folds = (FoldPieces(fold=0, pieces=("1", "3")), FoldPieces(fold=1, pieces=("2",)))
    table = fold_table(OutOfFold(metrics={"f05": "F0.5", "ap": "AP"}, folds=folds, by_fold={"cnn3d": of}, of="pixels"))
    assert table["columns"] == ["fold 0", "fold 1", "all"] and table["heads"] == ["F0.5", "AP"]
    assert table["rows"] == [{"name": "cnn3d", "cells": ["0.100", "0.200", "0.150", "–", "0.400", "0.300"]}]
    assert [one["pieces"] for one in table["held"]] == ["1, 3", "2"]
    assert fold_table(OutOfFold()) == {}


def test_receipts_are_listed_by_folder_with_code_and_weights(tmp_path):
    write_receipt(tmp_path / "b" / "1", "key-b", data="data-b", weights={"w0": "aa", "w1": "bb"})
    write_receipt(tmp_path / "a", "key-a")
    write_receipt(tmp_path / "c", "key-c", data={"1": ["0123456789", "abcdefghij"], "2": "klmnopqrst"})
    *rows, training = receipts([tmp_path])
    assert training["data"] == "1 01234567+abcdefgh, 2 klmnopqr"
    assert (
        [row["key"] for row in rows] == ["key-a", "key-b"] and rows[1]["weights"] == "aa, bb" and rows[0]["data"] == "–"
    )
    assert "numpy" in made_with([tmp_path]) and made_with([tmp_path / "nothing"]) == ""
    assert len(rows) <= LISTED


def test_charts_are_named_take_the_pages_colours_and_bring_nothing_for_the_whole_page():
    swept = {"threshold": [0, 0.5, 0.9], "f05": [0.1, 0.6, 0.2], "precision": [0.1, 0.5, 0.9]}
    curve = Reliability(predicted=(0.1, 0.9), observed=(0.0, 0.8), count=(90, 10), error=0.1)
    for svg, words in (
        (sweep_svg("a <b>", swept, {"f05": "F0.5", "precision": "precision"}, 0.45, "f05"), ("F0.5", "precision", "chosen: 0.450")),
        (reliability_svg("a <b>", curve, "ink", "pixels"), ("honest", "ink there", "share of all 100 pixels")),
    ):  # fmt: skip
        assert svg.startswith('<svg role="img" aria-label="') and "a &lt;b&gt;" in svg and "a <b>" not in svg
        assert all(f">{word}</text>" in svg for word in words)
        assert "currentColor" in svg and "var(--series-0" in svg
        assert not any(part in svg for part in ("<style", "<metadata", "http", "xlink", "<?xml"))


def test_two_charts_of_one_page_share_no_names():
    import re

    swept = {"threshold": [0, 1], "f05": [0.1, 0.6]}
    first, second = (
        set(re.findall(r'<clipPath id="(\w+)"', sweep_svg(name, swept, {"f05": "F"}, 0.5, "f05"))) for name in "ab"
    )
    assert first and not first & second
