"""A Python that has imported what the commands need, and forks for each of them: a fresh process without the seconds of its imports.

It reads a request a line and answers with the exit code. What a command imports itself, and what it leaves on disk, is as ever;
the tests about starting a command (its imports, its first line, `--help`) start a Python of their own.
"""

import atexit
import json
import os
import runpy
import sys
import traceback
from importlib import import_module
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
NEEDED = (
    "stage1_3d.fragments.data", "stage1_3d.segments.data", "scroll.training.loop", "stage2_2d.ink.train", "ensemble.ink.steps",
    "ensemble.ink.fit", "scroll.report.page", "scroll.phantom.dataset", "scroll.phantom.scroll_dataset", "stage1_3d.models.unet3d",
    "transformers.models.segformer.modeling_segformer", "monai.networks.nets.dynunet", "skimage.io", "skimage.morphology",
    "tensorboard.summary.writer.event_file_writer", "torch.utils.tensorboard", "jinja2",
)  # fmt: skip


def main() -> None:
    """Serve until nobody asks any more."""
    sys.path[0] = str(REPOSITORY)
    import_module("scroll.runtime.torchvision_schemas").import_torchvision()
    for name in NEEDED:
        import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        process = os.fork()
        if not process:
            answers.close()
            serve(json.loads(line))
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")
        answers.flush()


def serve(asked: dict[str, object]) -> None:
    """Be the command: its arguments, folder and outputs; ends this process."""
    command = [str(word) for word in asked["command"]]
    for file, number in ((os.devnull, 0), (asked["out"], 1), (asked["err"], 2)):
        os.dup2(os.open(str(file), os.O_RDWR | os.O_CREAT, 0o600), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    os.chdir(str(asked["cwd"]))
    code: object = 0
    try:
        if command[0] == "-m":
            sys.path[0], sys.argv = "", command[1:]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.path[0], sys.argv = str(Path(command[0]).parent), command
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:  # noqa: BLE001  (as an interpreter would)
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
