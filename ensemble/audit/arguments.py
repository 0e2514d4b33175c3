"""What the commands `audit`, and those of before that it takes the place of, are asked for, and what they then do."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.errors import InputError
from scroll.runtime.command_line import as_typed, number, whole

MOST = 1000.0  # contrasts in spreads, and layers

if TYPE_CHECKING:
    from ensemble.audit.sheet import How
    from ensemble.controls.asked import Asked


def parser(description: str | None) -> argparse.ArgumentParser:
    """All options."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("config", type=Path, nargs="?", help="YAML of the trained run")
    found.add_argument(
        "--member", type=Path, action="append", default=[], metavar="DIR",
        help="a member with a card (scripts/import_member.py, export_member.py) without a run; repeat for several",
    )  # fmt: skip
    found.add_argument(
        "--input", type=Path, nargs="+", required=True, help="folders of fragments, single ones, or volume files"
    )
    found.add_argument(
        "--blank", type=Path, nargs="+", default=[], metavar="PLACE",
        help="papyrus of the same scan that holds no ink, in the same forms: what is called ink there is imagined, and chances rest on it",
    )  # fmt: skip
    found.add_argument(
        "--output", type=Path,
        help="folder for audit.json, audit.html and pictures; that of ensemble/predict.py spares the prediction itself",
    )  # fmt: skip
    found.add_argument(
        "--threshold", type=number(0.001, 0.999),
        help="of --member: from which probability on it is ink (the card's own, as it was fitted; else 0.5)",
    )  # fmt: skip
    found.add_argument(
        "--look", action="store_true", help="predict nothing: only say whether layers lie as in training"
    )
    found.add_argument(
        "--copies", type=whole(-1000, 1000), default=2, help="scrambled and shuffled copies, each (%(default)s)"
    )
    found.add_argument(
        "--contrasts", default="0.125,0.25,0.5,1,2",
        help="of the planted ink, in spreads of the papyrus' grey values (%(default)s); '' plants nothing",
    )  # fmt: skip
    found.add_argument(
        "--letter-um", type=number(1, 1e6), help="height of a planted letter (as in the training labels, else 1500)"
    )
    found.add_argument(
        "--film-vox", type=number(0.1, 1000), default=2.5, help="thickness of the planted film (%(default)s)"
    )
    found.add_argument(
        "--depths",
        default="-8,-4,4,8",
        help="layers by which each member's window is moved (%(default)s); '' moves none",
    )
    found.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    return found


def run(arguments: argparse.Namespace) -> int:
    """Look, or audit: print verdicts; 2 where the layers of a sheet would be refused and only they are looked at.

    Raises:
        InputError: neither a run nor a member is given, or one option needs another.
    """
    if arguments.config is None and not arguments.member:
        raise InputError("give the YAML of a trained run, or --member FOLDER for a network with a card")
    if arguments.look:
        from ensemble.audit.look import look_only

        return look_only(arguments.config, arguments.input, arguments.output, arguments.set)
    if arguments.output is None:
        raise InputError("--output is missing; give a folder for audit.json, audit.html and the predictions of copies")
    return _audited(arguments)


def _audited(arguments: argparse.Namespace) -> int:
    from ensemble.audit.study import audit, lines_on, refuse_cubes
    from scroll.runtime.output_folder import PREDICTION
    from scroll.runtime.run_lock import writing

    how, inputs = _how(arguments), [*arguments.input, *arguments.blank, *arguments.member]
    if arguments.config is not None:
        from scroll.config.reader import load_settings

        settings = load_settings(arguments.config, arguments.set)
        refuse_cubes(settings)
        inputs += [settings.run_dir, settings.data.root]
    with writing(arguments.output, PREDICTION, inputs):
        command = shlex.join(as_typed(sys.argv))
        found = audit(_asked(arguments), arguments.input, arguments.output, how, command, arguments.blank)
    print("\n".join(lines_on(found)))
    print(f"\naudit: {arguments.output / 'audit.html'}")
    return 0


def _asked(arguments: argparse.Namespace) -> "Asked":
    if arguments.member:
        from ensemble.audit.alone import asked_alone

        return asked_alone(
            arguments.member, arguments.input[0], arguments.output, arguments.set, arguments.config, arguments.threshold
        )
    from ensemble.check import load_run_settings
    from ensemble.controls.asked import asked_run

    return asked_run(load_run_settings(arguments.config, arguments.set))


def _how(arguments: argparse.Namespace) -> "How":
    from ensemble.audit.sheet import How
    from ensemble.controls.detectability import Planting

    contrasts = read_numbers("--contrasts", arguments.contrasts)
    planting = Planting(contrasts, arguments.letter_um, arguments.film_vox) if contrasts else None
    depths = read_numbers("--depths", arguments.depths)
    odd = [offset for offset in depths if offset != round(offset)]
    if odd:
        raise InputError(f"--depths: {odd[0]:g} is no whole number of layers; expected such as -8,-4,4,8")
    return How(arguments.copies, planting, tuple(int(offset) for offset in depths))


def read_numbers(option: str, text: str) -> tuple[float, ...]:
    """Numbers parted by commas; none for an empty text.

    >>> read_numbers("--contrasts", "0.5, 1")
    (0.5, 1.0)

    Raises:
        InputError: not numbers, or none that an end has.
    """
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{option} '{text}': expected numbers parted by commas, such as 0.25,0.5,1") from None
    if not all(abs(one) <= MOST for one in found):
        raise InputError(f"{option} '{text}': expected numbers up to {MOST:g}, parted by commas, such as 0.25,0.5,1")
    return found
