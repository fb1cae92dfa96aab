"""``attack``: train a clean twin and a victim, measure the backdoor, draw it."""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from badsad_lib import checkpoints
from badsad_lib._commands import attack_figures, shared
from badsad_lib._commands.shared import SUFFIX, Record
from badsad_lib.attacks import Attack, BadSAD, DataPoisoning
from badsad_lib.attacks.poisoning import choose_bases
from badsad_lib.deepsad import DeepSAD, resolve_device
from badsad_lib.report import BackdoorReport, backdoor_report, perturbation_asr
from badsad_lib.splits import Split
from badsad_lib.triggers import KINDS, Trigger, Universal, apply_trigger

METHODS: dict[str, Callable[..., Attack]] = {
    "extended": BadSAD.extended,
    "basic": BadSAD.basic,
    "data-only": DataPoisoning,
}
# The trigger that each is shown with: the paper's two ideas alone need one that is easy to learn.
USUAL_TRIGGERS = {"extended": "patch", "basic": "border", "data-only": "patch"}
# Everything that can come to lie in the folder. Not each attack writes all of them.
FILES = (
    f"clean{SUFFIX}",
    f"victim{SUFFIX}",
    f"trigger{SUFFIX}",
    "report.json",
    "triggered_pairs.png",
    "score_histogram.png",
    "asr_by_threshold.png",
    "latent_maps.png",
)


def run(args: argparse.Namespace) -> None:
    """Train both detectors and measure; write all of that, or nothing; then draw."""
    _check_out(args.out, args.force)
    args.trigger = args.trigger or USUAL_TRIGGERS[args.method]
    attack = _attack(args)
    shared.prepare_torch(args)
    plain = shared.new_detector(args)
    about = shared.record_of(args)
    split = shared.rebuild_split(about)
    _check_poisoning(attack, split)

    clean, victim, seconds = _train(attack, plain, split)
    for detector in (clean, victim):
        detector.calibrate(split.val_images, args.quantile)
    trigger, own = attack.trigger_, KINDS[args.trigger].parameter
    settings = about | {
        "method": args.method,
        "trigger": {"name": args.trigger, own: getattr(trigger, own)},
        "poison_rate": args.poison_rate,
        "quantile": args.quantile,
    }

    _tell("measuring")
    report = backdoor_report(victim, clean, split, trigger, quantile=args.quantile)
    same_budget = math.nan
    if isinstance(trigger, Universal):
        same_budget = perturbation_asr(clean, split, trigger.epsilon, quantile=args.quantile)
    result = {
        "settings": settings,
        "class_name": split.class_name,
        "detector": plain.get_params() | {"device": str(resolve_device(args.device))},
        "report": report.to_dict(),
        "perturbation_asr": same_budget,
        "seconds": seconds,
        "versions": _versions(),
    }
    text = json.dumps(_without_nan(result), indent=2, allow_nan=False) + "\n"

    def write(folder: Path) -> None:
        clean.save(folder / f"clean{SUFFIX}", about=about | {"role": "clean twin"})
        victim.save(folder / f"victim{SUFFIX}", about=settings | {"role": "victim"})
        if isinstance(trigger, Universal) and trigger.pattern is not None:
            checkpoints.save(
                folder / f"trigger{SUFFIX}",
                {"pattern": trigger.pattern},
                {"epsilon": trigger.epsilon},
            )
        (folder / "report.json").write_text(text, encoding="utf-8")

    _write_at_once(args.out, write)
    if args.json:
        print(text, end="")
    else:
        _print_report(args.out, settings, split, report, same_budget)

    # Last, so that a figure that fails costs nothing that was measured.
    _tell("drawing")
    drawings = attack_figures.draw(clean, victim, split, trigger, args.quantile)
    if args.umap:
        poisoned = attack.poisoned_.images[attack.poisoned_.mask]
        drawings |= attack_figures.draw_maps(clean, victim, split, trigger, poisoned)
    _draw(args.out, drawings)


# --- before the training --------------------------------------------------------------------------


def _check_out(out: Path, force: bool) -> None:
    """Refuse before the training what the writing would refuse after it."""
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file; name a folder with --out")
    taken = [name for name in FILES if (out / name).exists()]
    if taken and not force:
        raise FileExistsError(
            f"{out / taken[0]} exists already; overwrite it with --force or name another folder"
        )
    shared.writable_folder(out)


def _attack(args: argparse.Namespace) -> Attack:
    if args.method == "data-only" and args.trigger == "universal":
        raise ValueError(
            "--trigger universal is learned in training, which --method data-only leaves to the "
            "victim; choose another trigger or another method"
        )
    return METHODS[args.method](_trigger(args), args.poison_rate, seed=args.seed)


def _trigger(args: argparse.Namespace) -> Trigger:
    kind = KINDS[args.trigger]
    own = kind.parameter
    for other in {kind.parameter for kind in KINDS.values()} - {own}:
        if getattr(args, other) is not None:
            raise ValueError(
                f"--{other} does not belong to --trigger {args.trigger}, which takes --{own}"
            )
    return kind(getattr(args, own))


def _check_poisoning(attack: Attack, split: Split) -> None:
    """Poison on trial: a bad rate or a trigger that does not fit is refused now."""
    chosen = choose_bases(split.train_labels, attack.poison_rate, attack.seed)
    if not isinstance(attack.trigger, Universal):
        apply_trigger(attack.trigger, split.train_images[chosen])


# --- training and measuring -----------------------------------------------------------------------


def _tell(what: str) -> None:
    """Say above the next progress bar what it is about."""
    print(what, file=sys.stderr, flush=True)


def _train(
    attack: Attack, plain: DeepSAD, split: Split
) -> tuple[DeepSAD, DeepSAD, dict[str, float]]:
    """Return clean twin, victim, and the seconds that each took."""
    start = time.perf_counter()
    _tell("clean twin")
    clean = DeepSAD(**plain.get_params()).fit(split.train_images, split.train_labels)
    halfway = time.perf_counter()
    learned = isinstance(attack.trigger, Universal)
    _tell("victim, trained twice: the first time to learn the pattern" if learned else "victim")
    victim = attack.attack(
        plain, split.train_images, split.train_labels, initial_state=clean.initial_state_
    )
    end = time.perf_counter()
    return clean, victim, {"clean": round(halfway - start, 2), "victim": round(end - halfway, 2)}


def _versions() -> str:
    from badsad_lib.experiments import versions_in_words  # pandas comes with it

    return versions_in_words()


def _without_nan(value: Any) -> Any:
    """Copy nested values with None for what JSON has no number for: NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# --- what comes out -------------------------------------------------------------------------------


def _write_at_once(out: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a hidden folder, then move everything to ``out``.

    Until then, whatever goes wrong, nothing is to be seen there and nothing old is gone.
    """
    with tempfile.TemporaryDirectory(dir=shared.writable_folder(out), prefix=".attack-") as hidden:
        folder = Path(hidden) / "attack"
        folder.mkdir()
        write(folder)
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(out)
            return
        for name in FILES:
            if (folder / name).exists():
                (folder / name).replace(out / name)
            else:  # left by another attack
                (out / name).unlink(missing_ok=True)


def _draw(out: Path, drawings: attack_figures.Drawings) -> None:
    """Draw into ``out``, each figure whole or not at all; say at the end which ones failed."""
    failed = {}
    with tempfile.TemporaryDirectory(dir=out, prefix=".attack-") as hidden:
        for name, draw in drawings.items():
            try:
                draw().savefig(Path(hidden, name))
                Path(hidden, name).replace(out / name)
            except Exception as error:  # the libraries that draw can raise anything
                failed[name] = error
    if failed:
        reasons = "; ".join(f"{name}: {error!r}" for name, error in failed.items())
        raise OSError(
            f"both detectors and the report are in {out}, but not every figure could be drawn "
            f"({reasons})"
        ) from next(iter(failed.values()))


def _print_report(
    out: Path,
    settings: Record,
    split: Split,
    report: BackdoorReport,
    same_budget: float,
) -> None:
    trigger = settings["trigger"]["name"]
    own = KINDS[trigger].parameter
    lines = {
        "folder": str(out),
        "normal class": f"{split.normal_class} ({split.class_name}) of "
        f"{settings['data']}, {settings['subset']}",
        "method": f"{settings['method']}, poison rate {settings['poison_rate']:g}",
        "trigger": f"{trigger}, {own} {settings['trigger'][own]:.3g}",
    }
    for name, line in lines.items():
        print(f"{name:<26}{line}")
    print(report)
    if not math.isnan(same_budget):
        print(f"{'same bound, clean twin':<26}ASR {same_budget:.3f} (learned against it)")


# --- arguments ------------------------------------------------------------------------------------


def _share(text: str) -> float:
    """Read 0.08 or 20/255."""
    top, _, bottom = text.partition("/")
    try:
        return float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"must be a number or a fraction such as 8/255, got {text}"
        ) from None


def add(subcommands: Any) -> None:
    """Declare the subcommand."""
    parser = shared.add_subcommand(
        subcommands,
        run,
        "attack",
        "train a detector with a backdoor and its clean twin, measure and draw both",
        "python -m badsad_lib attack --trigger blend --alpha 0.15 --out blend",
    )
    backdoor = parser.add_argument_group("attack")
    backdoor.add_argument(
        "--method",
        choices=METHODS,
        default="extended",
        help="BadSAD extended or basic, which control the training, or poisoned data only "
        "(default: %(default)s)",
    )
    backdoor.add_argument(
        "--trigger",
        choices=KINDS,
        help="each has one parameter, below (default: patch; with --method basic: border)",
    )
    for name, kind, metavar, text in (
        ("size", int, "N", "side of the patch in pixels (default: 3)"),
        ("width", int, "N", "of either border in pixels (default: 1)"),
        ("alpha", _share, "SHARE", "share of the pattern in blend and rings (default: 0.2)"),
        ("amplitude", _share, "SHARE", "of the sinusoid, 1 is black to white (default: 20/255)"),
        ("strength", float, "N", "mean displacement of the warp in pixels (default: 0.5)"),
        ("epsilon", _share, "SHARE", "largest change of a pixel by universal (default: 8/255)"),
    ):
        backdoor.add_argument(f"--{name}", type=kind, metavar=metavar, help=text)
    backdoor.add_argument(
        "--poison-rate",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="poisoned images as a share of the normal training images (default: %(default)s)",
    )
    shared.add_split(parser)
    shared.add_training(parser)
    parser.add_argument(
        "--no-umap",
        dest="umap",
        action="store_false",
        help="leave out the maps of the latent space, which take about 20 seconds",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("attack"),
        metavar="FOLDER",
        help="folder to write into: both detectors, report and figures (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite these files if they exist")
    shared.add_common(parser)
