"""A claim prints the same line on any machine, or raises with the value."""

from __future__ import annotations

import contextlib
import doctest
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from badsad_lib.course import claims
from badsad_lib.course.claims import ClaimError, claim

finite = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.integers(-(10**6), 10**6).map(lambda k: k / 1000)


def printed(name: str, value: object, **bounds: float) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        claim(name, value, **bounds)
    return out.getvalue()


def test_the_three_forms_of_the_line() -> None:
    assert printed("clean AUROC", 0.97, at_least=0.95) == "clean AUROC >= 0.95: holds\n"
    assert printed("control ASR", 0.01, at_most=0.05) == "control ASR <= 0.05: holds\n"
    assert printed("rate", 0.15, at_least=0.1, at_most=0.2) == "0.1 <= rate <= 0.2: holds\n"


def test_the_docstring_example() -> None:
    result = doctest.testmod(claims)
    assert result.attempted > 0
    assert result.failed == 0


@given(value=finite, low=finite)
def test_a_lower_bound_holds_or_raises(value: float, low: float) -> None:
    if value >= low:
        assert printed("x", value, at_least=low).endswith(": holds\n")
    else:
        with pytest.raises(ClaimError):
            claim("x", value, at_least=low)


@given(value=finite, high=finite)
def test_an_upper_bound_holds_or_raises(value: float, high: float) -> None:
    if value <= high:
        assert printed("x", value, at_most=high).endswith(": holds\n")
    else:
        with pytest.raises(ClaimError):
            claim("x", value, at_most=high)


@given(numbers=st.lists(finite, min_size=4, max_size=4))
def test_the_line_does_not_depend_on_the_value(numbers: list[float]) -> None:
    low, first, second, high = sorted(numbers)
    assert printed("x", first, at_least=low, at_most=high) == printed(
        "x", second, at_least=low, at_most=high
    )


@given(bound=decimals)
def test_bounds_are_inclusive_and_printed_exactly(bound: float) -> None:
    line = printed("x", bound, at_least=bound)
    assert float(line.removeprefix("x >= ").removesuffix(": holds\n")) == bound


@pytest.mark.parametrize(
    "value", [0.97, 1, True, np.float32(0.97), np.array(0.97), torch.tensor([0.97])]
)
def test_numbers_of_every_kind(value: object) -> None:
    assert printed("AUROC", value, at_least=np.float64(0.95)) == "AUROC >= 0.95: holds\n"


@pytest.mark.parametrize("bounds", [{"at_least": 0.0}, {"at_most": 1.0}])
def test_nan_never_holds(bounds: dict[str, float]) -> None:
    with pytest.raises(ClaimError, match="nan"):
        claim("AUROC", float("nan"), **bounds)


def test_a_failing_claim_names_value_and_bound() -> None:
    with pytest.raises(AssertionError, match=r"clean AUROC is 0\.9312, .*clean AUROC >= 0\.95"):
        claim("clean AUROC", 0.9312, at_least=0.95)


def test_a_failing_claim_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ClaimError):
        claim("clean AUROC", 0.1, at_least=0.95)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", [None, "high", [0.9, 0.8], np.ones(2), torch.ones(3)])
def test_not_one_number(value: object) -> None:
    with pytest.raises(TypeError, match="one number"):
        claim("AUROC", value, at_least=0.95)


@pytest.mark.parametrize(
    ("name", "bounds", "message"),
    [
        ("AUROC", {}, "needs a bound"),
        ("AUROC", {"at_least": float("nan")}, "finite"),
        ("AUROC", {"at_most": float("inf")}, "finite"),
        ("AUROC", {"at_least": 2.0, "at_most": 1.0}, "must not exceed"),
        ("", {"at_least": 0.5}, "one line"),
        ("two\nlines", {"at_least": 0.5}, "one line"),
    ],
)
def test_malformed_claims(name: str, bounds: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claim(name, 0.97, **bounds)
