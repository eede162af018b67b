"""Settings that follow the data: nothing moves on a preset's own, and theory says what moves elsewhere."""

import dataclasses
import logging

import numpy as np
import pytest

from experiments.engine.command import Place, following
from experiments.images import Images
from experiments.settings import scale
from experiments.settings.evaluation import evaluation_preset
from experiments.settings.paths import setting, with_settings
from experiments.settings.presets import PRESETS
from experiments.settings.scale import HOME, for_data, scale_of
from jax_bioadv.data import unit_norm

STRENGTHS = (*scale.UNIT_L2, *scale.UNIT_PIXEL, *scale.RAW_L2, *scale.RAW_PIXEL)


def changed(dataset, change):
    parts = {part: change(getattr(dataset, part)) for part in ("train_images", "test_images")}
    return dataclasses.replace(dataset, **parts)


def enlarged(images):
    return images.repeat(2, axis=1).repeat(2, axis=2)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("of", [lambda preset: PRESETS[preset], evaluation_preset])
def test_nothing_moves_on_the_data_of_a_preset(monkeypatch, digits, preset, of):
    if preset != "smoke":
        monkeypatch.setattr(scale, "scale_of", lambda dataset: HOME["cifar10"])
    assert for_data(of(preset), preset, digits) == (of(preset), {})


def test_the_sizes_are_those_of_the_images(digits):
    lengths = np.linalg.norm(unit_norm(digits.train_images), axis=1)
    raw = np.linalg.norm(digits.train_images.reshape(1500, -1) / 255, axis=1)
    found = scale_of(digits)
    assert found == HOME["digits"]
    # Single precision, of which a length of 64 values keeps six digits.
    assert (found.unit, found.raw) == pytest.approx((np.median(lengths), np.median(raw)), rel=1e-6)


def test_an_image_that_is_all_zero_has_no_size(digits):
    blank = digits.train_images.copy()
    blank[3] = 0
    without = np.delete(digits.train_images, 3, axis=0)
    assert scale_of(dataclasses.replace(digits, train_images=blank)) == scale_of(
        dataclasses.replace(digits, train_images=without, train_labels=np.delete(digits.train_labels, 3))
    )


def ratios(settings, usual):
    def number(path, of):
        value = setting(of, path)
        return value[0] if isinstance(value, tuple) else value

    return {path: number(path, settings) / number(path, usual) for path in STRENGTHS}


def test_images_of_four_times_the_pixels(digits):
    """L3 norm 1 in 4 D pixels instead of D: a pixel is 4^(−1/3) as large, a length 4^(1/2 − 1/3) times as large."""
    settings, told = for_data(PRESETS["smoke"], "smoke", changed(digits, enlarged))
    expected = {scale.UNIT_L2: 4 ** (1 / 6), scale.UNIT_PIXEL: 4 ** (-1 / 3), scale.RAW_L2: 2.0, scale.RAW_PIXEL: 1.0}
    found = ratios(settings, PRESETS["smoke"])
    for paths, ratio in expected.items():
        for path in paths:  # two digits of the ratio, three of the product
            assert found[path] == pytest.approx(ratio, rel=0.05)
    assert set(told) == {"unit-norm L2", "unit-norm L∞ and noise", "raw L2"}
    assert settings.spectra == PRESETS["smoke"].spectra


def test_images_of_half_the_brightness_move_raw_strengths_alone(digits):
    settings, told = for_data(PRESETS["smoke"], "smoke", changed(digits, lambda images: images // 2))
    assert told == {"raw L2": 0.5, "raw L∞": 0.5}
    found = ratios(settings, PRESETS["smoke"])
    assert all(found[path] == 1 for path in (*scale.UNIT_L2, *scale.UNIT_PIXEL))
    assert found["threats.raw_linf"] == found["threats.raw_l2"] == 0.5


def test_windows_end_at_the_same_share_of_fewer_dimensions(monkeypatch, digits):
    quick = PRESETS["quick"]
    monkeypatch.setattr(scale, "scale_of", lambda dataset: dataclasses.replace(HOME["cifar10"], inputs=784))
    spectra = for_data(quick, "quick", digits)[0].spectra
    assert spectra.last_on_data == round(500 * 784 / 3072)
    assert (spectra.last_on_images, spectra.last_on_noise) == (125, 100)  # its 500 hidden units are fewer than 784
    wide = for_data(with_settings(quick, {"hidden": 2000}), "quick", digits)[0].spectra
    assert (wide.last_on_images, wide.last_on_noise) == (round(125 * 784 / 2000), round(100 * 784 / 2000))
    monkeypatch.undo()
    settings, _ = for_data(quick, "quick", digits)
    assert settings.spectra.last_on_noise == settings.spectra.first + 9
    settings.check_values()


def test_what_was_given_stands(digits):
    given = {"threats.unit_l2": 0.7, "spectra.last_on_data": 40, "boundaries.radii": (1.0,)}
    settings, _ = for_data(with_settings(PRESETS["quick"], given), "quick", digits)
    assert {path: setting(settings, path) for path in given} == given
    assert settings.threats.raw_l2 != PRESETS["quick"].threats.raw_l2


def test_commands_follow_and_say_so_unless_told_otherwise(digits, caplog):
    caplog.set_level(logging.INFO, "experiments")
    images = Images(changed(digits, enlarged), 3.0)
    smoke = PRESETS["smoke"]
    assert following(Place("smoke", as_given=True), smoke, images) is smoke
    assert not caplog.messages
    assert following(Place("smoke"), smoke, images).threats.raw_l2 == 2 * smoke.threats.raw_l2
    assert "follow digits (unit-norm L2 × 1.3, unit-norm L∞ and noise × 0.63, raw L2 × 2); not with" in caplog.text
