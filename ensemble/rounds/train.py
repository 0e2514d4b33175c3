"""The training of a round's student: the same pipeline as any run's."""

from ensemble.check import check_run
from ensemble.ink.fit import calibrate, print_fit
from ensemble.ink.fit_record import InkFit
from ensemble.rounds.place import LabelRound
from scroll.runtime.output_folder import RUN
from scroll.runtime.run_lock import writing
from stage1_3d.train import train_stage1
from stage2_2d.train import train_stage2


def train_student(a_round: LabelRound) -> InkFit:
    """Train both stages on the round's labels and fit the ensemble on what people said; what is done is not done again."""
    student = a_round.student
    check_run(student)
    with writing(student.run_dir, RUN, is_training=True):
        train_stage1(student)
        train_stage2(student)
        if student.end_to_end is not None:
            from ensemble.end_to_end.train import train_end_to_end

            train_end_to_end(student)
        fit = calibrate(student)
    print_fit(fit)
    return fit
