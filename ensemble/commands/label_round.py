"""A label round: predict all sheets, propose labels, ask a person, and train again on what both say.

    python scripts/label_round.py configs/demo_ink.yaml 1      # predicts, and writes what to look at and to paint on
    # paint in <run_dir>/rounds/1/paint/<sheet>/label.png; <run_dir>/rounds/1/ask/index.html says where
    python scripts/label_round.py configs/demo_ink.yaml 1      # reads it back, trains, reports

Round 0 is the run itself (make stage1, make stage2). Everything of round N is in <run_dir>/rounds/N, what is done is not done again, and
neither data nor earlier rounds are written to. How to read it: docs/label_rounds.md.
"""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.runtime.command_line import whole

if TYPE_CHECKING:
    from ensemble.rounds.place import LabelRound
    from ensemble.rounds.report import RoundReport

ASK, TAKE, TRAIN, REPORT = "ask", "take", "train", "report"


def main() -> None:
    """Parse the command line and do the next step, or the one that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML of the run, whose own training is round 0")
    parser.add_argument("number", type=whole(1, 10_000), metavar="N", help="the round, from 1")
    parser.add_argument(
        "--step", choices=(ASK, TAKE, TRAIN, REPORT), help="only this step; without it, on to the next stop"
    )
    parser.add_argument(
        "--unpainted",
        action="store_true",
        help="do not wait for a person: train on what was known, and on what is proposed",
    )
    parser.add_argument("--after-a-fall", action="store_true", help="go on although the score of the round before fell")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    from ensemble.check import load_run_settings
    from ensemble.rounds.place import LabelRound
    from ensemble.rounds.steps import check_may_begin
    from scroll.runtime.output_folder import LABEL_ROUND
    from scroll.runtime.run_lock import writing

    a_round = LabelRound(load_run_settings(arguments.config, arguments.set), arguments.number)
    if arguments.step == REPORT:
        say_rounds(a_round)
        return
    check_may_begin(a_round, arguments.after_a_fall)
    with writing(a_round.folder, LABEL_ROUND, [a_round.base.data.root]):
        run_steps(a_round, arguments.step, arguments.unpainted)


def run_steps(a_round: "LabelRound", only: str | None, is_unpainted_fine: bool) -> None:
    """One step, or all up to where a person is waited for."""
    from ensemble.rounds.steps import Steps

    steps = Steps(a_round)
    if only in (None, ASK):
        asked = steps.ask()
        print(
            f"round {a_round.number}: {len(asked.patches)} patches are asked for: {a_round.folder / 'ask' / 'index.html'}"
        )
    if only in (None, TAKE) and not steps.take(is_unpainted_fine):
        print(
            f"nothing is painted yet: paint on {a_round.folder / 'paint' / '<sheet>' / 'label.png'} (README.txt says how), then run the "
            "same command again; --unpainted goes on without"
        )
        return
    if only in (None, TRAIN):
        steps.train()
        say_rounds(a_round)


def say_rounds(a_round: "LabelRound") -> None:
    """Print a line for each round up to this one, and what stops it; write the page."""
    from ensemble.rounds.page import write_rounds_page
    from ensemble.rounds.report import read_report, report_of_base

    reports = [report_of_base(a_round.base)]
    earlier: list[LabelRound] = []
    one: LabelRound | None = a_round
    while one is not None:
        earlier.insert(0, one)
        one = one.before
    reports += [read_report(each) for each in earlier]
    for report in reports:
        print(line_of(report))
    for warning in warnings_of(reports[-1]):
        print(warning)
    print(f"report: {write_rounds_page(a_round, reports)}")


def line_of(report: "RoundReport") -> str:
    """A round in one line."""
    score, known = report.score, report.known
    return (
        f"round {report.number}: F0.5 where no network was trained {score.f05:.4f} ({score.low:.3f} to {score.high:.3f}); "
        f"people labelled {known.human_cm2:.3f} cm2, {known.proposed_share:.0%} of what is known is proposed"
    )


def warnings_of(report: "RoundReport") -> list[str]:
    """What a person has to know before the next round."""
    lines = []
    if report.has_fallen:
        lines.append(
            f"STOP: the score of round {report.number} fell beyond the interval of the round before: what it was trained on is "
            "worse than what was known; the next round will not begin"
        )
    if report.is_copy and report.copying and report.known.proposed_cm2:
        lines.append(
            f"the student copies its teacher where neither was trained (correlation {report.copying.with_teacher:.2f}; the teacher's "
            f"first two members agree to {report.copying.of_strangers:.2f}): proposals add little, labels of people do"
        )
    if report.drift:
        most = max(report.drift, key=lambda sheet: abs(math.log(max(1e-9, report.drift[sheet]))))
        lines.append(
            f"what is taken for ink changed by more than half on {len(report.drift)} of {len(report.rules)} sheets, most on {most} (to "
            f"{report.drift[most]:g} times what it was); look at their maps"
        )
    return lines
