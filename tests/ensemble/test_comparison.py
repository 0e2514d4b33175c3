"""The table over seeds, worked by hand where that is possible."""

import numpy as np
import pytest

from ensemble.review.comparison import BEST, Scored, Training, as_markdown, table_rows
from scroll.metrics.fbeta import fbeta


def scored(blocks: list[list[int]], ap: float | None = 0.5, oof_f05: float = 0.5) -> Scored:
    counts = np.array(blocks)
    return Scored(counts, float(fbeta(*counts.sum(axis=0))), ap, oof_f05)


def training(seed: int, best: str = "a", extra: int = 0) -> Training:
    """Over 20 blocks "a" finds all of the ink, "b" half of it, "c" as much as "a" and a little false ink."""
    blocks = [[100 + 5 * i, 10 + extra, 0] for i in range(20)]
    half = [[tp // 2, fp, tp - tp // 2] for tp, fp, _ in blocks]
    noisy = [[tp, fp + (40 if i % 2 else -10), fn] for i, (tp, fp, fn) in enumerate(blocks)]
    predictors = {"a": scored(blocks, 0.9), "b": scored(half, None), "c": scored(noisy, 0.8)}
    return Training(seed, best, predictors, {"stage one": {"wall_s": 12.0 * seed, "cpu_s": 20.0}})


def test_one_seed_has_a_mean_and_no_standard_deviation() -> None:
    rows = {row.name: row for row in table_rows([training(1)])}
    assert list(rows) == [BEST, "a", "b", "c"]
    tp = sum(100 + 5 * i for i in range(20))
    assert rows["a"].f05 == (pytest.approx(1.25 * tp / (1.25 * tp + 200)),) and rows["a"].sd is None
    assert rows["a"].mean == rows["a"].f05[0] and rows["a"].ap == 0.9 and rows["b"].ap is None
    assert rows["a"].low <= rows["a"].mean <= rows["a"].high


def test_gains_are_over_the_member_that_was_best_out_of_fold_whatever_it_scored() -> None:
    rows = {row.name: row for row in table_rows([training(1, best="b"), training(2, best="b")])}
    assert rows[BEST].f05 == rows["b"].f05 and rows["b"].gain.difference == 0
    assert rows["b"].gain.verdict == "inside noise" and rows["a"].gain.verdict == "better"
    assert rows["a"].gain.difference == pytest.approx(rows["a"].mean - rows["b"].mean)
    held_against_a = {row.name: row for row in table_rows([training(1), training(2)])}
    assert held_against_a["b"].gain.verdict == "worse"


def test_each_seed_is_held_against_its_own_best_member() -> None:
    first, second = training(1, best="a"), training(2, best="b")
    row = table_rows([first, second])[0]
    assert row.f05 == (first.predictors["a"].f05, second.predictors["b"].f05)


def test_seeds_that_differ_widen_the_interval_and_give_the_standard_deviation() -> None:
    alike = table_rows([training(1), training(2), training(3)])[1]
    unlike = table_rows([training(1, extra=-10), training(2), training(3, extra=60)])[1]
    assert alike.sd == 0 and unlike.sd == pytest.approx(np.std(unlike.f05, ddof=1))
    assert unlike.high - unlike.low > 2 * (alike.high - alike.low)


def test_the_markdown_has_every_figure_and_as_many_cells_in_every_line_as_in_the_head() -> None:
    trainings = [training(1), training(7, best="b")]
    text = as_markdown("Try", trainings, table_rows(trainings), ["A phantom."])
    tables = [[line for line in block.splitlines() if line.startswith("|")] for block in text.split("\n\n")]
    predictors, times = (table for table in tables if table)
    assert len({line.count("|") for line in predictors}) == 1 and len(predictors) == 2 + 4
    assert "seed 1: a, seed 7: b" in text and "A phantom." in text and "20 blocks" in text
    assert predictors[2].endswith("| – | – |") and "better" not in predictors[2]
    assert times[2] == "| stage one | 12 / 20 | 84 / 20 |"
    f05 = f"{trainings[0].predictors['c'].f05:.4f}"
    assert f05 in predictors[-1] and f"{table_rows(trainings)[-1].gain.difference:+.4f}" in predictors[-1]
