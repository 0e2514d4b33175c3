"""Stage one: train every member on every fold, then predict and flatten what each fold held out.

python -m stage1_3d.train configs/demo.yaml [--only MEMBER] [--set a.b=c]
"""

from pathlib import Path
from typing import TYPE_CHECKING

from scroll.runtime.command_line import run_command, run_parser

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scroll.config.schema import MemberSettings, Settings
    from scroll.data.folds import Fold
    from scroll.training.loop import LossOf, Task
    from scroll.training.losses import Terms
    from scroll.training.successor import Planned
    from stage1_3d.kinds import TrainingData

REFERENCE_SHEETS = 6  # at most, that a preflight's reference is made of, spread over all of them


def main() -> None:
    """Parse the command line and run stage one."""
    parser = run_parser(__doc__, "data.bin_yx=2")
    help_text = "train only this member; may be repeated"
    parser.add_argument("--only", action="append", default=[], metavar="MEMBER", help=help_text)
    arguments = parser.parse_args()
    from scroll.runtime.output_folder import RUN
    from scroll.runtime.run_lock import writing
    from stage1_3d.network import load_checked_settings

    settings = load_checked_settings(arguments.config, arguments.set)
    with writing(settings.run_dir, RUN, is_training=True):
        train_stage1(settings, arguments.only)


def train_stage1(settings: "Settings", only: "list[str] | tuple[str, ...]" = ()) -> None:
    """Train members x folds and leave weights, out-of-fold probabilities and flattened stacks in the run folder.

    Raises:
        InputError: a name in `only` is no member, a tracker is not installed, or the data is not as expected.
    """
    from scroll.config.reader import save_run_settings
    from scroll.data.folds import make_folds
    from scroll.data.members.new_items import lines_on_sharers, out_of_fold
    from scroll.data.members.others import of_others
    from scroll.data.members.suits import check_items, message_on_resampling
    from scroll.errors import InputError
    from scroll.inference.fold_ensemble import is_main_process
    from scroll.training.loggers import check_trackers
    from scroll.training.successor import say_what_is_trained_again
    from stage1_3d.kinds import training_data

    check_trackers(settings)
    unknown = set(only) - set(settings.stage1.members)
    if unknown:
        raise InputError(f"--only {sorted(unknown)[0]}: no such member; there are {', '.join(settings.stage1.members)}")
    data = training_data(settings)
    folds = make_folds(data.items, settings.folds)
    for other in of_others(settings).values():  # refused now, not after hours of training
        check_items(other, data.items, settings.data)
        if message := message_on_resampling(other, data.items):
            print(f"stage1.members.{other.name}: {message}")
    settings, _ = out_of_fold(settings, data.items)
    save_run_settings(settings)
    if is_main_process():
        write_reference(settings, data)
    for line in lines_on_sharers(settings):
        print(line)
    requested = [name for name in settings.stage1.members if name in only or not only]
    chosen = [name for name in requested if name in settings.stage1.trained]
    say_what_is_trained_again(planned(settings, name, data, fold) for name in chosen for fold in folds)
    for name in chosen:
        for fold in folds:
            train_member(settings, name, data, fold)
    if is_main_process():  # several processes train together; one predicts
        data.predict_out_of_fold(requested, folds)


def write_reference(settings: "Settings", data: "TrainingData") -> None:
    """Keep what the training stacks look like layer by layer, so that a prediction can tell one that is otherwise.

    Nothing is kept where the stacks are too small to be looked at; a prediction then says that it was not checked. Cubes
    have no layers that could run the other way.
    """
    from scroll.data.kinds import kind_of
    from scroll.errors import InputError
    from scroll.preflight.training_span import training_reference
    from scroll.runtime.files import kept_json, remove, write_sealed
    from scroll.runtime.receipt import key_of
    from stage1_3d.predict import seen_mask

    if not kind_of(settings.data).has_sheets:
        return
    sheets = data.items
    path, windows = settings.folder.reference, settings.preflight.windows
    key = key_of([[sheet.key for sheet in sheets], windows])
    if kept_json(path, "looked at").get("key") == key:
        return
    try:
        some = sheets[:: -(-len(sheets) // REFERENCE_SHEETS)]
        found = training_reference([(s.stack, seen_mask(settings, s), str(s.folder)) for s in some], windows)
    except InputError as error:
        remove(path)
        print(f"preflight: {error}")
        return
    write_sealed(path, {"key": key, "voxel_um": sheets[0].pixel_um, "depth": settings.data.depth, **found})


def train_member(settings: "Settings", name: str, data: "TrainingData", fold: "Fold") -> Path:
    """Train one member on one fold; returns the path of its weights. Does nothing where that is already done."""
    from scroll.training.loop import fit

    return fit(member_task(settings, name, data, fold), settings.stage1.members[name].training)


def planned(settings: "Settings", name: str, data: "TrainingData", fold: "Fold") -> "Planned":
    """What one member is trained as on one fold."""
    from scroll.training.successor import Planned

    member = settings.stage1.members[name]
    return Planned(
        label=f"stage 1, {name}, fold {fold.number}",
        folder=settings.folder.fold(name, fold.number),
        key=member_key(settings, member, list(data.keys(name).values()), fold),
    )


def member_task(settings: "Settings", name: str, data: "TrainingData", fold: "Fold") -> "Task":
    """What is fitted when one member is trained on one fold; the network is built, and seeded."""
    import torch

    from scroll.data.members.beginning import beginning
    from scroll.training.begin_from import begin_from
    from scroll.training.loop import Task
    from stage1_3d.network import about_network, build_network

    member = settings.stage1.members[name]
    seed = settings.seed * 1000 + member.seed * 100 + fold.number
    torch.manual_seed(seed)
    keys = data.keys(name)
    network = build_network(member)
    started: dict[str, object] = {}
    if member.init:
        started = {"started_from": begin_from(network, beginning(member.init, fold))}
    return Task(
        **planned(settings, name, data, fold)._asdict(),
        seed=seed,
        model=network,
        loss_of=loss_of(member),
        train=data.patches(name, fold, seed, is_training=True),
        validation=data.patches(name, fold, seed, is_training=False),
        about=about_network(member),
        made_with={
            "member": name,
            "seed": seed,
            "depth": settings.data.depth,
            "normal_sign": settings.data.normal_sign,
            "fold": fold.number,
            "held_out": fold.held_out,
            "voxel_um": data.items[0].pixel_um,
            "axes": "zyx",
            "settings": member.model_dump(mode="json"),
            "plan": {k: v for k, v in settings.plan.items() if k.startswith(f"stage1.members.{name}.")},
            "data": keys,
            **started,
        },
        trackers=settings.trackers,
    )


def loss_of(member: "MemberSettings", of_shape: "Terms | None" = None) -> "LossOf":
    """The loss of a member: on depth-pooled logits (B, Y, X), or voxel by voxel on (B, Z, Y, X).

    A network that is supervised deeply gives in training a list of logits (B, 1, Z, Y, X), finest first; each is pooled alike.
    `of_shape`: other terms than the usual ones that look at shape.
    """
    from scroll.training.losses import OF_SHAPE, loss_of_heads, pool_depth

    def loss(model: "nn.Module", batch: "dict[str, Tensor]") -> "Tensor":
        output = model(batch["ct"])
        heads = [logits.squeeze(1) for logits in (output if isinstance(output, list) else [output])]  # (B, Z, Y, X)
        if member.supervision == "depth_pool":
            heads = [pool_depth(logits.float(), member.pool) for logits in heads]  # (B, Y, X)
        return loss_of_heads(heads, batch, member.loss, of_shape or OF_SHAPE)

    return loss


def member_key(settings: "Settings", member: "MemberSettings", data: list[str], fold: "Fold") -> str:
    """Hash of all that decides a member's weights; loading speed and checkpoint rhythm do not."""
    from scroll.data.members.beginning import beginning
    from scroll.runtime.receipt import file_hash, key_of

    deciding = member.for_key(exclude={"training", "init"}) | {"training": member.training.deciding()}
    started = [file_hash(beginning(member.init, fold))] if member.init else []
    return key_of(
        [
            settings.seed,
            deciding,
            data,
            fold.number,
            fold.held_out,
            fold.closed,
            *started,
            *settings.sampling.deciding(),
        ]
    )


if __name__ == "__main__":
    run_command(main)
