"""Every command of the pages, taken apart: the command is there, takes these options, and the settings and files exist.

That they also do what they should is asked in test_walk.py, which runs them.
"""

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest
from documentation import (
    NOT_RUN,
    PAGES,
    REPOSITORY,
    commands,
    config_files,
    mentioned_commands,
    prose,
    reason_not_to_run,
)

from scroll.errors import InputError
from stage1_3d.network import load_checked_settings
from tests.steps import step

MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
HAS_SUBCOMMANDS = ("scripts/make_phantom.py", "scripts/bench.py", "make-phantom", "scripts/catalogue.py", "catalogue")
NNUNET = ("nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict_from_modelfolder", "nnUNetv2_predict")
ELSEWHERE = ("tensorboard", "pip", ".venv/bin/pip", "kaggle", *NNUNET)  # programs that are not ours
DEMO = REPOSITORY / "configs" / "demo.yaml"


def is_placeholder(word: str) -> bool:
    return "..." in word or "<" in word or (word.isupper() and word.isalpha())


@cache
def help_of(program: tuple[str, ...]) -> str:
    done = step(*program, "--help", cwd=REPOSITORY)
    assert done.returncode == 0 and "usage:" in done.stdout, f"{program}: {done.stderr or 'no such command'}"
    return done.stdout


def check(command: str) -> None:
    """Fail where any part of the command is not there."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        check_make(words[1:])
    elif words[0] == "scroll-ensemble":
        check_python(["-m", "ensemble.commands", *words[1:]])
    elif words[0] == "torchrun":
        check_python(words[words.index("-m") :])
    elif words[0].rpartition("/")[2].startswith("python"):
        check_python(words[1:])
    elif words[0] in (".", "source"):
        assert words[1:] == [".venv/bin/activate"]
    else:
        assert words[0] in ELSEWHERE, f"{command}: neither ours nor a program that is known here"


def check_python(words: list[str]) -> None:
    """A command of ours: it is there, knows every option, and the settings that --set changes exist."""
    length = 1 + (words[0] == "-m") + (words[:2] == ["-m", "ensemble.commands"] and words[2] != "--help")
    program, rest = words[:length], words[length:]
    help_text = help_of((*program, *(rest[:1] if program[-1] in HAS_SUBCOMMANDS else [])))
    options = [word.partition("=")[0] for word in rest if word.startswith("--")]
    assert not [option for option in options if not re.search(rf"{option}\b", help_text)], f"{words}: not in --help"
    config = next((word for word in rest if re.fullmatch(r"configs/[\w-]+\.yaml", word)), None)
    changed = [rest[n + 1] for n, word in enumerate(rest) if word == "--set" and not rest[n + 1].startswith("@")]
    if config in config_files():
        config = "configs/demo.yaml"  # what is shown is checked by itself
    load_checked_settings(REPOSITORY / (config or "configs/demo.yaml"), changed)


def check_make(words: list[str]) -> None:
    """A target of the Makefile, variables that it reads, and what it would run."""
    given = {word.partition("=")[0] for word in words if "=" in word}
    assert not [name for name in given if f"$({name})" not in MAKEFILE], f"{words}: a variable that no target reads"
    kept = [word for word in words if "=" not in word or not is_placeholder(word.partition("=")[2])]
    # the environment's own targets are silent where it is there, and long where it is not
    done = subprocess.run(["make", "-n", *kept], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.replace("\\\n", " ").splitlines():
        if re.match(r"\S*bin/python ", line) and "pytest" not in line and "-m venv" not in line:
            check(line)


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 20 and len(mentioned_commands()) >= 20


@pytest.mark.parametrize("command", commands())
def test_a_command_can_be_run_as_it_stands(command: str) -> None:
    assert not [word for word in shlex.split(command, comments=True) if is_placeholder(word)]
    check(command)


@pytest.mark.parametrize("command", mentioned_commands())
def test_a_command_within_a_sentence_exists_and_takes_its_arguments(command: str) -> None:
    check(command)


def test_every_setting_that_a_page_overrides_exists() -> None:
    pairs = [
        pair for page in PAGES for message in re.findall(r"SET='([^']+)'", prose(page)) for pair in message.split()
    ]
    real = [pair for pair in pairs if pair not in ("name=value", "a.b=c", "d=e")]
    assert real
    for pair in real:
        assert any(loads(config, pair) for config in sorted(DEMO.parent.glob("*.yaml"))), pair


def loads(config: Path, override: str) -> bool:
    try:
        load_checked_settings(config, [override])
    except InputError:
        return False
    return True


def test_what_is_not_run_has_a_reason() -> None:
    assert all(len(reason.split()) >= 3 for reason in NOT_RUN.values())
    assert reason_not_to_run("make test    # all of them") and not reason_not_to_run("make demo")
    assert sum(reason_not_to_run(command) is None for command in commands()) >= 15


@pytest.mark.parametrize(
    "command",
    ["make dmeo", "make demo CONFG=x", "make demo SET='data.bin=2'", "python scripts/gone.py", "frobnicate now", "scroll-ensemble predcit",
     "python ensemble/predict.py configs/demo.yaml --inptu x", "make doctor CONFIG=configs/gone.yaml"],
)  # fmt: skip
def test_a_command_that_cannot_work_is_noticed(command: str) -> None:
    with pytest.raises((AssertionError, ValueError, OSError)):
        check(command)


def test_overrides_travel_from_make_to_the_command() -> None:
    done = subprocess.run(
        ["make", "-n", "stage1", "CONFIG=configs/demo.yaml", "SET=a.b=1 c.d=2"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "stage1_3d.train configs/demo.yaml --set a.b=1 --set c.d=2" in done.stdout
