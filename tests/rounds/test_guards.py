"""What stops a round, on made-up maps: a copy, a student of its own, a fall within and beyond the interval."""

import numpy as np
import pytest

from scroll.metrics.held_out import F05
from scroll.rounds.guards import copying, has_fallen

RNG = np.random.default_rng(0)
TRUTH = RNG.random((64, 64)) < 0.3
ALL = np.ones((64, 64), bool)


def seen(noise: float) -> np.ndarray:
    odds = np.where(TRUTH, 2.0, -2.0) + noise * RNG.standard_normal(TRUTH.shape)
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def test_a_student_that_repeats_its_teacher_is_a_copy_and_one_that_sees_for_itself_is_none():
    teacher, stranger, student = (seen(2.0) for _ in range(3))
    repeated = np.clip(teacher + 0.01 * RNG.standard_normal(TRUTH.shape), 0, 1).astype(np.float32)
    assert copying(repeated, teacher, stranger, ALL).is_copy
    own = copying(student, teacher, stranger, ALL)
    assert not own.is_copy and own.with_teacher == pytest.approx(own.of_strangers, abs=0.05)


def test_only_where_neither_was_trained_counts():
    teacher, stranger, student = (seen(2.0) for _ in range(3))
    labelled = np.zeros_like(ALL)
    labelled[:32] = True
    copied = np.where(labelled, teacher, student)
    assert not copying(copied, teacher, stranger, ~labelled).is_copy
    assert copying(copied, teacher, stranger, labelled).with_teacher == pytest.approx(1)


@pytest.mark.parametrize(("now", "falls"), [(0.7, False), (0.56, False), (0.54, True)])
def test_a_score_falls_when_it_leaves_the_interval_it_had(now, falls):
    before = F05(f05=0.7, low=0.55, high=0.8)
    assert has_fallen(F05(f05=now, low=0, high=1), before) == falls
