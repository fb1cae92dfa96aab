"""How fast is it? Images per second and peak memory, against a plain loop and the arithmetic floor.

    python benchmarks/speed.py [--threads 2] [--repeats 3] [--out benchmarks/results/speed.csv]

The plain loop is what most people write first: a ``DataLoader`` with batches of
128 and no workers over ``ToPILImage`` and ``ToTensor``, the layers in the
reference's order, contiguous memory, the same optimizer. Every measurement runs
in a process of its own, the two in turn, and the best of the repeats counts.

The floor is the arithmetic alone: each layer that multiplies by itself, in the
fastest of the memory layouts and sizes of batch that were tried. (The rate of a large
matrix product is none: there are processors on which convolutions run faster.) What lies
between is all the rest: normalization, activation, pooling, the optimizer, moving data.
Absolute figures belong to the machine; the ratios travel better.

Where the processor computes in bfloat16, training in it is a stage more, beside the same plain
loop, with what it costs in AUROC: ten classes of the embedded subset, trained both ways.
``--out`` replaces the rows of this processor and keeps those of others.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from badsad_lib import DeepSAD, datasets, report, splits
from badsad_lib.deepsad import SCORING_BATCH, anomaly_score, bf16_is_fast, deep_sad_loss
from badsad_lib.experiments import device_in_words, versions_in_words
from badsad_lib.networks import Encoder, make_decoder, make_encoder

BF16 = "training, bf16"
STAGES = ("pretraining", "training", BF16, "scoring")
EPOCHS = 5


class PlainImages(Dataset):
    """One image at a time through PIL, as in countless tutorials."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        from badsad_lib._torchvision import import_torchvision

        import_torchvision()
        from torchvision import transforms

        self.images, self.labels = images, labels
        self.transform = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.images[i]), self.labels[i]


class PlainEncoder(nn.Module):
    """The same function, layers in the reference's order: activation before pooling."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        for block in self.encoder.blocks:
            x = F.max_pool2d(F.leaky_relu(block.norm(block.conv(x)), 0.01), 2)
        return self.encoder.head(x.flatten(1))


def plain(stage: str, images: Tensor, labels: Tensor) -> Callable[[], int]:
    """Return the plain loop for a stage; calling it returns how many images it handled."""
    torch.manual_seed(0)
    encoder, decoder = PlainEncoder(make_encoder("fashion_mnist")), make_decoder("fashion_mnist")
    center = torch.full((64,), 0.1)
    loader = DataLoader(
        PlainImages(images, labels), batch_size=128, shuffle=stage != "scoring", num_workers=0
    )
    parameters = [*encoder.parameters(), *(decoder.parameters() if stage == "pretraining" else [])]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, weight_decay=0.5e-6)

    def train() -> int:
        for _ in range(EPOCHS):
            for x, y in loader:
                optimizer.zero_grad()
                if stage == "pretraining":
                    loss = F.mse_loss(decoder(encoder(x)), x)
                else:
                    loss = deep_sad_loss(anomaly_score(encoder(x), center), y)
                loss.backward()
                optimizer.step()
                loss.item()
        return EPOCHS * len(images)

    def score() -> int:
        encoder.eval()
        with torch.no_grad():
            for x, _ in loader:
                anomaly_score(encoder(x), center).numpy()
        return len(images)

    return score if stage == "scoring" else train


def library(stage: str, images: Tensor, labels: Tensor) -> Callable[[], int]:
    """Return the library's public call for a stage."""
    if stage == "scoring":
        detector = DeepSAD(epochs=1, pretrain_epochs=0, device="cpu").fit(images[:256])

        def score() -> int:
            return len(detector.decision_function(images))

        return score

    def train() -> int:
        if stage == "pretraining":
            DeepSAD(pretrain_epochs=EPOCHS, device="cpu").pretrain(images)
        else:
            precision = "bf16" if stage == BF16 else "fp32"
            DeepSAD(epochs=EPOCHS, device="cpu", precision=precision).fit(images, labels)
        return EPOCHS * len(images)

    return train


def measure(who: str, stage: str, threads: int) -> None:
    """Measure one stage in this process; print images per second and peak megabytes."""
    torch.set_num_threads(threads)
    data = datasets.load("fashion_mnist")
    split = splits.one_vs_rest(data, 0, labeled_anomaly_ratio=0.05, seed=0)
    images, labels = split.train_images, split.train_labels
    if stage == "scoring":
        images = data.test.images.repeat(3, 1, 1, 1)[:10_000]
        labels = torch.zeros(len(images), dtype=torch.int64)
    else:
        images, labels = images.repeat(4, 1, 1, 1)[:6300], labels.repeat(4)[:6300]
    run = (plain if who == "plain" else library)(stage, images, labels)
    run()  # warm-up: lazy initialization and caches
    start = time.perf_counter()
    count = run()
    seconds = time.perf_counter() - start
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1024**2 if sys.platform == "darwin" else 1024
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({"rate": count / seconds, "megabytes": megabytes}))


def floor(stage: str) -> float:
    """Return images per second if the layers that multiply took all the time, at their fastest.

    Each convolution and each linear layer runs by itself, forward and in training backward, in
    both memory layouts and in two sizes of batch, and the fastest of these counts for it.
    """
    encoder, decoder = make_encoder("fashion_mnist"), make_decoder("fashion_mnist")
    network = nn.Sequential(encoder, decoder) if stage == "pretraining" else encoder
    shapes: dict[nn.Module, torch.Size] = {}

    def note(layer: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        shapes[layer] = given[0].shape[1:]

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.register_forward_hook(note)
    network(torch.rand(2, 1, 28, 28))
    first = next(iter(shapes))  # nobody asks for the gradient of the images
    return 1 / sum(
        min(
            seconds_of(layer, torch.rand(size, *shape), layout, stage, layer is not first) / size
            for size in (128, SCORING_BATCH)
            for layout in (torch.contiguous_format, torch.channels_last)
            if len(shape) == 3 or layout is torch.contiguous_format
        )
        for layer, shape in shapes.items()
    )


def seconds_of(
    layer: nn.Module, x: Tensor, layout: torch.memory_format, stage: str, inner: bool
) -> float:
    """Return the seconds that a layer takes on a batch, the best of twenty."""
    layer = layer.to(memory_format=layout)
    x = x.contiguous(memory_format=layout).requires_grad_(inner and stage != "scoring")
    gradient = torch.ones_like(layer(x))
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        if stage == "scoring":
            with torch.inference_mode():
                layer(x)
        else:
            layer(x).backward(gradient)
        best = min(best, time.perf_counter() - start)
    return best


def auroc_loss() -> float:
    """Return what bfloat16 costs in AUROC: the mean over ten classes of the embedded subset."""
    data = datasets.load("fashion_mnist")
    losses = []
    for normal_class in range(len(data.class_names)):
        split = splits.one_vs_rest(data, normal_class, seed=0)
        fp32, bf16 = (
            measure_on(split, DeepSAD(precision=precision, device="cpu"))
            for precision in ("fp32", "bf16")
        )
        losses.append(fp32 - bf16)
    return sum(losses) / len(losses)


def measure_on(split: splits.Split, detector: DeepSAD) -> float:
    """Train a detector on a split and return its AUROC there."""
    return report.measure(detector.fit(split.train_images, split.train_labels), split).auroc


def rows(threads: int, repeats: int) -> Iterator[dict[str, float | str | None]]:
    """Measure every stage, plain loop and library in turn."""
    torch.set_num_threads(threads)
    for stage in STAGES:
        if stage == BF16 and not bf16_is_fast(torch.device("cpu")):
            continue
        best: dict[str, dict[str, float]] = {}
        for _ in range(repeats):
            for who in ("plain", "library"):
                command = [sys.executable, __file__, "--measure", who, stage]
                done = subprocess.run(
                    [*command, "--threads", str(threads)], capture_output=True, text=True
                )
                if done.returncode:
                    raise SystemExit(f"measuring {who} {stage} failed:\n{done.stderr}")
                new = json.loads(done.stdout.splitlines()[-1])
                old = best.setdefault(who, new)
                best[who] = {
                    "rate": max(old["rate"], new["rate"]),
                    "megabytes": min(old["megabytes"], new["megabytes"]),
                }
        yield {
            "stage": stage,
            "plain": best["plain"]["rate"],
            "library": best["library"]["rate"],
            "ratio": best["library"]["rate"] / best["plain"]["rate"],
            # The floor is of fp32: in bf16 the layers' weights are cast at every step.
            "floor": None if stage == BF16 else best["library"]["rate"] / floor(stage),
            "auroc_loss": auroc_loss() if stage == BF16 else None,
            "plain_mb": best["plain"]["megabytes"],
            "library_mb": best["library"]["megabytes"],
            "threads": threads,
            "device": device_in_words(),
            "versions": versions_in_words(),
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the table to this CSV file")
    parser.add_argument("--measure", nargs=2, metavar=("WHO", "STAGE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(*args.measure, args.threads)
        return
    print(
        f"{args.threads} threads, {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}; Fashion-MNIST network, fp32, batches of 128"
    )
    head = f"{'stage':<15}{'plain':>10}{'library':>10}{'ratio':>8}{'of floor':>10}"
    print(head + f"{'peak MB, plain':>16}{'library':>9}")
    table = []
    for row in rows(args.threads, args.repeats):
        table.append(row)
        of_floor = "" if row["floor"] is None else f"{row['floor']:.0%}"
        print(
            f"{row['stage']:<15}{row['plain']:>8,.0f}/s{row['library']:>8,.0f}/s"
            f"{row['ratio']:>7.2f}x{of_floor:>9}"
            f"{row['plain_mb']:>16,.0f}{row['library_mb']:>9,.0f}",
            flush=True,
        )
        if row["auroc_loss"] is not None:
            print(f"{'':<15}AUROC less that of fp32: {-row['auroc_loss']:+.4f}", flush=True)
    if args.out:
        beside_others(pd.DataFrame(table), args.out).to_csv(
            args.out, index=False, float_format="%.4g"
        )


def beside_others(new: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows that were just measured after those of other processors in the file."""
    if not path.exists():
        return new
    old = pd.read_csv(path)
    return pd.concat([old[~old["device"].isin(new["device"])], new], ignore_index=True)


if __name__ == "__main__":
    main()
