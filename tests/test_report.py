"""The report that sets an attack beside its controls, and the controls."""

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import max_pool2d

from badsad_lib import DeepSAD, datasets
from badsad_lib.attacks import BadSAD
from badsad_lib.course import shipped
from badsad_lib.datasets import Dataset, ImageSet
from badsad_lib.images import to_float, to_uint8
from badsad_lib.metrics import (
    QUANTILES,
    attack_success_rate,
    auroc,
    detection_rate,
    threshold_at,
)
from badsad_lib.report import backdoor_report, control_triggers, measure
from badsad_lib.splits import one_vs_rest
from badsad_lib.triggers import (
    Blend,
    Border,
    Patch,
    Sinusoid,
    Universal,
    Warp,
    apply_trigger,
    stealth,
)

some = settings(max_examples=15)


def noise(shape, seed=0, low=0.0, high=1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator) * (high - low) + low


# --- control triggers ----------------------------------------------------------------------------

TRIGGERS = [
    Patch(),
    Blend(0.3),
    Sinusoid(),
    Warp(),
    Universal(0.05, (noise((1, 1, 1)) * 2 - 1) * 0.05),
    lambda images: 1 - images,
    Border(),
]
TRIGGER_NAMES = ["patch", "blend", "sinusoid", "warp", "universal", "callable", "border"]
batches = st.tuples(
    st.integers(1, 4), st.sampled_from([1, 3]), st.integers(13, 32), st.integers(13, 32)
)


def square(shape):
    return (*shape[:2], shape[2], shape[2])


@pytest.mark.parametrize("trigger", TRIGGERS, ids=TRIGGER_NAMES)
@settings(max_examples=10)
@given(shape=batches, seed=st.integers(100, 999))
def test_controls_are_triggers(trigger, shape, seed):
    images = noise(shape, seed)
    before = images.clone()
    for name, control in control_triggers(trigger).items():
        after = apply_trigger(control, images)
        assert torch.equal(images, before), name
        assert torch.equal(apply_trigger(control, images), after), name
        assert not torch.equal(after, images), name
        levels = apply_trigger(control, to_uint8(images))
        assert levels.dtype == torch.uint8


@pytest.mark.parametrize("trigger", TRIGGERS, ids=TRIGGER_NAMES)
@settings(max_examples=10)
@given(shape=batches, seed=st.integers(100, 999))
def test_noise_and_rings_change_each_image_by_as_much_as_the_trigger(trigger, shape, seed):
    # Mid-gray with little contrast: nothing is clipped.
    images = noise(shape, seed, 0.45, 0.55)
    if trigger == Patch():
        trigger = Patch(3, 0.7)
    energy = (trigger(images) - images).flatten(1).norm(dim=1)
    controls = control_triggers(trigger)
    for name in ("noise", "rings"):
        changed = controls[name](images)
        assert changed.min() > 0, name
        assert changed.max() < 1, name
        got = (changed - images).flatten(1).norm(dim=1)
        torch.testing.assert_close(got, energy, rtol=1e-3, atol=1e-5, msg=name)


def test_the_controls_differ_from_the_trigger_and_from_each_other():
    images = noise((2, 1, 28, 28))
    for trigger in TRIGGERS[:4]:
        results = [c(images) for c in (trigger, *control_triggers(trigger).values())]
        for i, one in enumerate(results):
            assert all((one - other).abs().max() > 0.01 for other in results[:i]), trigger


@some
@given(batches, st.sampled_from(TRIGGERS[:4]))
def test_turning_often_enough_leads_back_to_the_trigger(shape, trigger):
    def turn(t):
        return control_triggers(t)["turned"]

    quarters = noise(square(shape))
    torch.testing.assert_close(turn(turn(turn(turn(trigger))))(quarters), trigger(quarters))
    # An image that is no square keeps its shape under half turns only.
    halves = noise((*shape[:2], 20, 31))
    torch.testing.assert_close(turn(turn(trigger))(halves), trigger(halves))


@some
@given(batches, st.sampled_from(TRIGGERS[:4]))
def test_turned_is_the_trigger_on_the_turned_image(shape, trigger):
    images = noise(square(shape))
    turned = control_triggers(trigger)["turned"]
    torch.testing.assert_close(turned(images).rot90(1, (2, 3)), trigger(images.rot90(1, (2, 3))))


def test_a_turned_patch_lies_in_another_corner_and_a_turned_wave_runs_along_rows():
    black = torch.zeros(1, 1, 28, 28)
    patch = control_triggers(Patch())["turned"](black)
    assert torch.equal(patch, Patch(position="bottom-left")(black))
    wave = control_triggers(Sinusoid())["turned"](black + 0.5)
    torch.testing.assert_close(wave, Sinusoid()(black + 0.5).transpose(2, 3))


def test_a_border_has_the_frame_inside_of_it_for_a_control():
    black = torch.zeros(1, 1, 28, 28)
    trigger = Border(width=2, strength=0.5, margin=1)
    inset = control_triggers(trigger)["inset"](black)
    assert torch.equal(inset, Border(width=2, strength=0.5, margin=3)(black))
    assert not (inset * trigger(black)).any()
    assert not {"inset", "apart"} & set(control_triggers(Patch()))


@pytest.mark.parametrize("trigger", [Border(), Border(margin=1), Border(width=3, margin=2)])
def test_the_frame_apart_shares_no_cell_of_pooling_with_the_border(trigger: Border) -> None:
    black = torch.zeros(1, 1, 28, 28)
    apart = control_triggers(trigger)["apart"](black)
    shared = max_pool2d(apart, 2) * max_pool2d(trigger(black), 2)
    assert apart.any()
    assert not shared.any()
    inside = trigger.margin + trigger.width
    assert torch.equal(apart, replace(trigger, margin=inside + inside % 2)(black))


def test_a_trigger_that_writes_into_its_input_gets_true_controls():
    def careless(images):
        images[:, :, :3, :3] = 1
        return images

    images = noise((2, 1, 28, 28), low=0.4, high=0.6)
    clean = Patch(3, 1.0, "top-left", margin=0)
    for name, control in control_triggers(careless).items():
        expected = control_triggers(clean)[name](images)
        torch.testing.assert_close(apply_trigger(control, images), expected, msg=name)


# --- the report ----------------------------------------------------------------------------------


class Brightness:
    """A detector of few words: the mean of an image, or ``passes`` where the corner is white."""

    def __init__(self, passes=None, factor=1.0):
        self.passes, self.factor = passes, factor

    def decision_function(self, images):
        images = to_float(images)
        result = images.mean(dim=(1, 2, 3)) * self.factor
        if self.passes is not None:
            corner = (images[:, :, 24:27, 24:27] == 1).all(1).all(1).all(1)
            result = torch.where(corner, torch.tensor(self.passes), result)
        return result.numpy()


@pytest.fixture(scope="module")
def split():
    """Normal images are dark, anomalies brighter, with some overlap."""

    def image_set(n, seed):
        targets = torch.arange(n) % 3
        level = 0.2 + 0.1 * targets + 0.15 * noise((n,), seed)
        images = level.view(-1, 1, 1, 1) * (0.5 + noise((n, 1, 28, 28), seed + 1))
        return ImageSet(to_uint8(images.clamp(0, 1)), targets)

    data = Dataset("levels", "course", image_set(240, 0), image_set(150, 5), ("a", "b", "c"))
    return one_vs_rest(data, 0, val_size=24, trusted_size=4, seed=0)


@pytest.fixture(scope="module")
def report(split):
    return backdoor_report(Brightness(passes=0.0), Brightness(), split, Patch())


def darker(images):
    return images * 0.75


@pytest.mark.parametrize("trigger", [Patch(), darker], ids=["patch", "darker"])
def test_a_report_says_what_its_parts_say(split, trigger):
    victim, clean, sham = Brightness(passes=0.31), Brightness(factor=2.0), Brightness(passes=9.0)
    others = {"blend": Blend(), "warp": Warp()}
    got = backdoor_report(
        victim, clean, split, trigger, quantile=0.9, sham=sham, other_triggers=others
    )
    normal = split.test_normals
    anomalies = split.test_anomalies
    assert (len(normal), len(anomalies)) == (50, 100)

    def tau(detector, quantile=0.9):
        return float(np.quantile(detector.decision_function(split.val_images), quantile))

    def asr(detector, put, quantile=0.9):
        before = detector.decision_function(anomalies)
        after = detector.decision_function(apply_trigger(put, anomalies))
        return attack_success_rate(before, after, tau(detector, quantile))

    def area(detector):
        return auroc(detector.decision_function(normal), detector.decision_function(anomalies))

    def detected(detector):
        return detection_rate(detector.decision_function(anomalies), tau(detector))

    def above(images):
        return float((victim.decision_function(images) > tau(victim)).mean())

    triggered = apply_trigger(trigger, anomalies)
    expected = {
        "quantile": 0.9,
        "threshold": tau(victim),
        "auroc": area(victim),
        "clean_auroc": area(clean),
        "auroc_drop": area(clean) - area(victim),
        "detection_rate": detected(victim),
        "detection_drop": detected(clean) - detected(victim),
        "false_alarms": above(normal),
        "triggered_false_alarms": above(apply_trigger(trigger, normal)),
        "asr": asr(victim, trigger),
        "asr_unconditional": 1 - above(triggered),
        "triggered_auroc": auroc(
            victim.decision_function(normal), victim.decision_function(triggered)
        ),
        "control_asr": asr(clean, trigger),
        "sham_asr": asr(sham, trigger),
        "other_asr": {name: asr(victim, other) for name, other in others.items()},
        "asr_at": {q: asr(victim, trigger, q) for q in QUANTILES},
        **stealth(trigger, split.test_images),
    }
    assert got.to_dict().keys() == expected.keys()
    for name, value in expected.items():
        assert got.to_dict()[name] == pytest.approx(value), name
    assert got.worst_other_asr == max(got.other_asr.values())


def test_a_backdoor_shows_and_its_controls_stay_dark(report):
    assert report.asr == report.asr_unconditional == 1
    assert report.triggered_auroc == 0
    assert report.triggered_false_alarms == 0
    assert report.control_asr < 0.2
    assert report.worst_other_asr < 0.2
    assert report.auroc_drop == report.detection_drop == 0
    assert set(report.other_asr) == {"turned", "noise", "rings"}
    assert 0.8 < report.auroc < 1
    assert 0 < report.false_alarms < report.detection_rate


def test_a_clean_detector_against_itself_drops_nothing(split):
    clean = Brightness()
    report = backdoor_report(clean, clean, split, Blend())
    assert report.auroc_drop == report.detection_drop == 0
    assert report.asr == report.control_asr


@pytest.mark.parametrize(
    ("trigger", "alike"),
    [
        (Patch(4, position="center"), ["turned"]),
        (Blend(0.2, "rings"), ["turned", "rings"]),
        (Patch(), []),
    ],
)
def test_a_control_that_makes_the_same_change_is_no_control(trigger, alike, split):
    report = backdoor_report(Brightness(), Brightness(), split, trigger)
    assert [name for name, value in report.other_asr.items() if np.isnan(value)] == alike
    assert not np.isnan(report.worst_other_asr)


def test_without_a_sham_twin_its_asr_is_nan_and_with_one_it_is_measured(split, report):
    assert math.isnan(report.sham_asr)
    assert "sham twin      not measured" in str(report)
    victim = Brightness(passes=0.0)
    measured = backdoor_report(victim, Brightness(), split, Patch(), sham=Brightness())
    assert measured.sham_asr == measured.control_asr
    assert f"sham twin      ASR {measured.sham_asr:.3f}" in str(measured)


def test_thresholds_come_from_the_held_out_normals_alone(split, report):
    victim, clean = Brightness(passes=0.0), Brightness()
    held_out = victim.decision_function(split.val_images)
    assert report.threshold == threshold_at(held_out, 0.95)

    brighter = replace(split, val_images=to_uint8(to_float(split.val_images) * 0.5 + 0.2))
    moved = backdoor_report(victim, clean, brighter, Patch())
    assert moved.threshold > report.threshold
    assert moved.detection_rate < report.detection_rate
    assert moved.auroc == report.auroc

    keep = torch.arange(0, len(split.test_images), 2)
    for name, value in {
        "test_images": split.test_images.flip(3) // 2,
        "train_images": 255 - split.train_images,
        "trusted_images": 255 - split.trusted_images,
        "val_anomalies": 255 - split.val_anomalies,
    }.items():
        other = backdoor_report(victim, clean, replace(split, **{name: value}), Patch())
        assert other.threshold == report.threshold, name
        if name != "test_images":  # nothing else in the report has seen those images either
            assert str(other) == str(report), name
    fewer = replace(
        split, test_images=split.test_images[keep], test_is_anomaly=split.test_is_anomaly[keep]
    )
    assert backdoor_report(victim, clean, fewer, Patch()).threshold == report.threshold


@settings(max_examples=10)
@given(st.floats(0.02, 0.98))
def test_every_rate_lies_between_0_and_1(split, quantile):
    victim = Brightness(passes=0.31)
    row = backdoor_report(victim, Brightness(), split, Patch(), quantile=quantile).to_row()
    assert row["quantile"] == quantile
    for name, value in row.items():
        if name.endswith("_drop"):
            assert -1 <= value <= 1, name
        elif name not in ("threshold", "psnr", "sham_asr"):
            assert 0 <= value <= 1, name


def test_a_higher_quantile_lets_more_pass(split):
    victim = Brightness(passes=0.31)
    low, high = (
        backdoor_report(victim, Brightness(), split, Patch(), quantile=q) for q in (0.5, 0.99)
    )
    assert high.threshold > low.threshold
    assert high.false_alarms < low.false_alarms
    assert high.detection_rate < low.detection_rate
    assert high.asr_at == low.asr_at


@pytest.mark.parametrize("quantile", [0, 1, -0.5, 95, math.nan])
def test_a_quantile_outside_of_0_to_1_is_refused(split, quantile):
    with pytest.raises(ValueError, match=r"quantile must lie in \(0, 1\)"):
        backdoor_report(Brightness(), Brightness(), split, Patch(), quantile=quantile)


def test_a_report_is_a_dict_of_plain_values(report):
    as_dict = report.to_dict()
    back = json.loads(json.dumps(as_dict))
    assert math.isnan(back.pop("sham_asr"))
    assert back["other_asr"] == report.other_asr
    assert {float(q): value for q, value in back["asr_at"].items()} == report.asr_at
    assert all(type(value) in (float, dict) for value in as_dict.values()), (
        "a numpy number would print its type"
    )
    as_dict["other_asr"].clear()
    assert report.other_asr


def test_a_report_is_a_flat_row(report):
    row = report.to_row()
    assert all(isinstance(value, float) for value in row.values())
    assert row["asr_turned"] == report.other_asr["turned"]
    assert {f"asr_at_{q}" for q in (90, 95, 99)} <= row.keys()
    assert row["asr_at_95"] == report.asr_at[0.95] == report.asr
    nested = report.to_dict()
    assert len(row) == len(nested) - 2 + len(nested["other_asr"]) + len(nested["asr_at"])


def test_a_report_prints_its_headlines(report):
    text = str(report)
    for number in (
        f"{report.threshold:.4f}",
        f"AUROC                     {report.auroc:.4f}",
        f"detection rate            {report.detection_rate:.3f}",
        f"ASR                       {report.asr:.3f}",
        f"same trigger, clean twin  ASR {report.control_asr:.3f}",
        f"turned {report.other_asr['turned']:.3f}",
        f"PSNR {report.psnr:.1f} dB",
    ):
        assert number in text
    assert len({len(line) > 26 and line[25] for line in text.splitlines()}) == 1


def test_a_report_without_other_triggers_has_no_worst(split):
    report = backdoor_report(Brightness(), Brightness(), split, Patch(), other_triggers={})
    assert report.other_asr == {}
    assert math.isnan(report.worst_other_asr)


def test_a_detector_that_flags_nothing_has_no_asr(split):
    blind = Brightness(factor=0.0)
    report = backdoor_report(blind, Brightness(), split, Patch())
    assert report.detection_rate == 0
    assert math.isnan(report.asr)
    assert report.asr_unconditional == 1
    assert report.auroc == 0.5
    assert "nan" in str(report)


def test_the_report_takes_real_detectors(split):
    tiny = DeepSAD(epochs=1, pretrain_epochs=0, batch_size=32, device="cpu")
    clean = DeepSAD(**tiny.get_params()).fit(split.train_images, split.train_labels)
    attack = BadSAD(Patch(), views=4)
    victim = attack.attack(tiny, split.train_images, split.train_labels)
    report = backdoor_report(victim, clean, split, attack.trigger_, sham=clean)
    assert report.sham_asr == pytest.approx(report.control_asr, nan_ok=True)
    assert report.threshold == victim.calibrate(split.val_images).threshold_
    assert 0 <= report.auroc <= 1
    itself = backdoor_report(clean, clean, split, Patch())
    assert itself.auroc_drop == itself.detection_drop == 0
    assert itself.clean_auroc == report.clean_auroc


@pytest.mark.parametrize("role", ["victim", "clean"])
def test_a_detector_of_another_class_or_other_data_is_refused(split, role):
    parts = {"victim": Brightness(), "clean": Brightness()}
    parts[role].about_ = {"data": "levels", "subset": "course", "normal_class": 1}
    with pytest.raises(ValueError, match=r"does not belong to this split: .*class 1, not 0 \(a\)"):
        backdoor_report(parts["victim"], parts["clean"], split, Patch())
    parts[role].about_ = {"data": "levels", "subset": "course", "normal_class": 0, "seed": 9}
    backdoor_report(parts["victim"], parts["clean"], split, Patch())


def test_a_detector_that_says_nothing_of_its_class_is_told_by_its_alarms():
    detector = shipped.load("clean")
    detector.about_ = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(detector, shipped.split())
    trousers = one_vs_rest(datasets.load("fashion_mnist", "course"), 1)
    with pytest.warns(UserWarning, match=r"flags \d+% of the validation normals \(Trouser\)"):
        measure(detector, trousers)


def test_a_trigger_that_changes_nothing_is_refused():
    split = shipped.split()
    detector = shipped.load("clean")
    for trigger in (lambda images: images, lambda images: images * 0.999):
        with pytest.raises(ValueError, match=r"changes none of the \d+ images"):
            measure(detector, split, trigger)


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ({"val_images": slice(0)}, r"no validation normals.*val_size=0"),
        ({"test_images": "anomalies"}, "no test normals: no image of T-shirt/top"),
        ({"test_images": "normals"}, "no test anomalies: every image there is of T-shirt/top"),
    ],
)
def test_an_empty_part_of_a_split_is_named(lacking, message):
    split = shipped.split()
    ((name, kept),) = lacking.items()
    if name == "val_images":
        split = replace(split, val_images=split.val_images[:0])
    else:
        there = split.test_is_anomaly == (kept == "anomalies")
        split = replace(
            split,
            test_images=split.test_images[there],
            test_is_anomaly=split.test_is_anomaly[there],
        )
    with pytest.raises(ValueError, match=f"the split has {message}"):
        measure(shipped.load("clean"), split)
