"""Which PyTorch module is which of ours."""

import pytest

from jax_bioadv.weights.pytorch_names import matched

SMALL, LARGE = {"weight": (2, 2)}, {"weight": (3, 2)}


def found(ours, theirs, names=(), plain=()):
    return matched(ours, theirs, dict(names), {path: path for path in ours} | dict(plain))


def test_by_name_then_by_shape_then_by_number():
    ours = {"a": SMALL, "blocks.2.c": SMALL, "blocks.10.c": SMALL, "last": LARGE}
    theirs = {"fc": LARGE, "layer2.0": SMALL, "layer1.5": SMALL, "a": SMALL}
    assert found(ours, theirs) == {"a": "a", "last": "fc", "blocks.2.c": "layer1.5", "blocks.10.c": "layer2.0"}


def test_a_name_given_holds_for_what_is_within_and_the_longest_counts():
    ours = {"body.layers.0": SMALL, "body.layers.1.inner": SMALL, "body.layers.1.outer": SMALL}
    plain = {"body": "body", "body.layers.1": "body.1", "body.layers.0": "body.0"}
    plain |= {f"body.layers.1.{name}": f"body.1.{name}" for name in ("inner", "outer")}
    theirs = {"trunk.0": SMALL, "trunk.1.inner": SMALL, "special": SMALL}
    names = {"body": "trunk", "body.layers.1.outer": "special"}
    expected = {"body.layers.0": "trunk.0", "body.layers.1.inner": "trunk.1.inner", "body.layers.1.outer": "special"}
    assert found(ours, theirs, names, plain) == expected


def test_modules_of_one_shape_and_unlike_names_are_not_guessed():
    with pytest.raises(ValueError, match=r"which is which of up, down among first, second.*names=\{'up'"):
        found({"up": SMALL, "down": SMALL}, {"first": SMALL, "second": SMALL})


def test_two_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two modules of the network have one name"):
        found({"a": SMALL, "b": SMALL}, {"a": SMALL, "b": SMALL}, {"a": "b", "b": "b"})


def test_numbers_that_only_half_agree_are_no_names():
    """One more function in front moves every number: the second layer is not the file's first."""
    assert found({"1": SMALL, "2": SMALL, "3": SMALL}, {"0": SMALL, "1": SMALL, "2": SMALL}) == {
        "1": "0", "2": "1", "3": "2"
    }  # fmt: skip
