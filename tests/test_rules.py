"""Every parameter that is a number, a name or a yes or no is checked where it is given.

Classes and functions are found, not listed: one that is new is tried as well.
"""

import importlib
import inspect
import math
import pkgutil
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

import badsad_lib.attacks
import badsad_lib.defenses
from badsad_lib import splits, triggers
from badsad_lib._rules import Between, OneOf, Whole, YesOrNo, rules_of
from badsad_lib.attacks.badsad import BadSAD
from badsad_lib.attacks.poisoning import PoisonedSet
from badsad_lib.splits import Split
from badsad_lib.triggers import Patch

RESULTS = {PoisonedSet, Split}  # what comes out, and is made by the library alone


def modules():
    yield from (splits, triggers)
    for package in (badsad_lib.attacks, badsad_lib.defenses):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(info.name)


def public(kind):
    return {
        f"{module.__name__}.{name}".removeprefix("badsad_lib."): value
        for module in modules()
        for name, value in vars(module).items()
        if kind(value) and not name.startswith("_") and value.__module__ == module.__name__
    }


CLASSES = {
    name: kind
    for name, kind in public(inspect.isclass).items()
    if is_dataclass(kind) and kind not in RESULTS and not inspect.isabstract(kind)
}
FUNCTIONS = public(inspect.isfunction)
# A number that is worked out on the way is not a parameter at a door.
INNER = {
    "attacks.learned.check_bound",  # asks a trigger, which has a rule
    "attacks.losses.alignment_loss",  # once a training step
    "defenses._common.check_inputs",
    "defenses._common.check_given",
    "defenses._common.fresh_encoder",
    "defenses._common.standardized",
    "defenses._common.tuned",
    "defenses.fine_pruning.silence",
    "defenses.purification.shrunk",
    "defenses.shrink_perturb.shrunk_and_perturbed",
}

PARAMETERS = {
    f"{name}.{parameter}": (described, parameter, rule, or_none)
    for name, described in {**CLASSES, **FUNCTIONS}.items()
    for parameter, (rule, or_none) in rules_of(described).items()
}


def test_all_kinds_of_classes_and_functions_are_found():
    assert {"triggers.Patch", "attacks.badsad.BadSAD", "defenses.strip.Strip"} <= set(CLASSES)
    assert {"splits.one_vs_rest", "defenses.inversion.p_value"} <= set(FUNCTIONS)


def alternatives(hint):
    """The type itself, and those that it may be besides None."""
    return (hint, *(get_args(hint) if NoneType in get_args(hint) else ()))


@pytest.mark.parametrize("name", [*CLASSES, *(name for name in FUNCTIONS if name not in INNER)])
def test_every_number_name_and_flag_has_a_rule(name):
    described = {**CLASSES, **FUNCTIONS}[name]
    plain = (int, float, str, bool)
    hints = get_type_hints(described, include_extras=True)
    hints.pop("return", None)
    without = [
        parameter
        for parameter, hint in hints.items()
        if parameter not in rules_of(described)
        and any(
            part in plain
            for part in (hint, *(get_args(hint) if NoneType in get_args(hint) else ()))
        )
        and not (name == "splits.one_vs_rest" and "class" in parameter)  # a number or a name
    ]
    assert name in ("triggers.Kind",) or not without


def example(rule, or_none):
    if rule is None or or_none:
        return None
    return {OneOf: "latent", YesOrNo: False, Whole: 2, Between: 0.5}[type(rule)]


def give(described, parameter, value):
    """Make an object with one parameter, or call a function with it; return what it became."""
    if inspect.isclass(described):
        needed = {
            f.name: torch.full((1, 28, 28), 0.5)
            for f in fields(described)
            if f.default is MISSING and f.default_factory is MISSING
        }
        needed |= {k: example(*rules_of(described)[k]) for k in needed if k in rules_of(described)}
        if "trigger" in needed:
            needed["trigger"] = Patch()
        return getattr(described(**{**needed, parameter: value}), parameter)
    signature = inspect.signature(described)
    arguments = {
        name: example(*rules_of(described).get(name, (None, True)))
        for name, p in signature.parameters.items()
        if p.default is inspect.Parameter.empty
    }
    return described(**{**arguments, parameter: value})


def refused(rule):
    yield from (math.nan, "3", None, [1])
    if not isinstance(rule, YesOrNo):
        yield True
    if isinstance(rule, (Whole, Between)):
        yield from (math.inf, -math.inf, np.nan, np.float32("nan"), 1 + 1j, np.bool_(True))
    if isinstance(rule, Whole):
        yield from (2.5, 2.0, np.float64(3), rule.least - 1, torch.tensor(3.5))
    if isinstance(rule, Whole) and rule.most is not None:
        yield from (rule.most + 1, 2**64)
    if isinstance(rule, (OneOf, YesOrNo)):
        yield from (1, 0, "no")


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_is_out_of_range_or_of_another_type_is_refused_by_name_and_value(name):
    described, parameter, rule, or_none = PARAMETERS[name]
    for value in refused(rule):
        if value is None and or_none:
            continue
        with pytest.raises(ValueError, match=rf"^{parameter} must ") as caught:
            give(described, parameter, value)
        assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", [n for n, (d, *_) in PARAMETERS.items() if inspect.isclass(d)])
def test_numbers_of_numpy_become_python_s(name):
    described, parameter, rule, _ = PARAMETERS[name]
    if isinstance(rule, Whole):
        low = max(rule.least, 1)
        given = [(kind(low + 1), int) for kind in (np.int64, np.int32, np.uint8)]
    elif isinstance(rule, Between):
        inside = 0.5 if rule.low < 0.5 else rule.low + 0.5
        given = [(kind(inside), float) for kind in (np.float32, np.float64)]
    elif isinstance(rule, YesOrNo):
        given = [(np.bool_(False), bool)]
    else:
        given = [(np.str_(rule.choices[-1]), str)]
    for value, kind in given:
        if described is BadSAD and parameter == "decoys":
            value = np.bool_(False)
        kept = give(described, parameter, value)
        assert isinstance(kept, kind)
        assert kept == value


def test_a_range_of_numpy_seeds_gives_the_same_as_python_s():
    for seed, plain in zip(np.arange(3), range(3), strict=True):
        assert repr(BadSAD(Patch(), seed=seed)) == repr(BadSAD(Patch(), seed=plain))


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        (Between(0, 1, "(]"), (1e-9, 1, 1.0), (0, -1e-9, 1.0001)),
        (Between(0, 1, "[)"), (0, 0.5), (-1e-9, 1)),
        (Between(0, 1, "()"), (0.5,), (0, 1)),
        (Between(0, ends="(]"), (1e-300, 1e300), (0, math.inf)),
        (Between(-math.inf), (-1e300, 0, 7), (math.inf, -math.inf)),
        (Whole(0), (0, 5), (-1,)),
        (Whole(0, 5), (0, 5), (-1, 6)),
    ],
)
def test_the_ends_of_a_range_are_what_they_say(rule, inside, outside):
    for value in inside:
        assert rule("x", value) == value
    for value in outside:
        with pytest.raises(ValueError, match=rf"^x must .*, got {value}"):
            rule("x", value)
