"""What a photo of a face is said to lack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from deployments.faces.pipeline import LocalPipeline
from deployments.vision.advice import advice
from deployments.vision.quality import measure_quality
from tests.support.photos import ASTRONAUT, BIDEN, OBAMA, OBAMA_2, OBAMA_3, OBAMA_CUT, encoded

Change = Callable[[Image.Image], Image.Image]


def of_photo(pipeline: LocalPipeline, photo: bytes) -> list[str]:
    detection, faces = pipeline.analyze_photo(photo, 1)
    found: list[str] = [*advice(faces[0], detection.width, detection.height)]
    return found


@pytest.mark.parametrize("path", [OBAMA, OBAMA_2, OBAMA_3, BIDEN, ASTRONAUT], ids=lambda path: path.stem)
def test_a_good_photo_lacks_nothing(pipeline: LocalPipeline, path: Path) -> None:
    assert of_photo(pipeline, path.read_bytes()) == []


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        (["too_dark"], lambda image: ImageEnhance.Brightness(image).enhance(0.25)),
        (["too_dark"], lambda image: ImageEnhance.Brightness(image).enhance(0.12)),
        (["too_bright"], lambda image: ImageEnhance.Brightness(image).enhance(2)),
        (["blurred"], lambda image: image.filter(ImageFilter.GaussianBlur(8))),
        (["too_small"], lambda image: image.resize((90, 112))),
    ],
)
def test_what_is_wrong_is_named(pipeline: LocalPipeline, expected: list[str], change: Change) -> None:
    with Image.open(OBAMA) as image:
        assert of_photo(pipeline, encoded(change(image.convert("RGB")))) == expected


@pytest.mark.parametrize("path", OBAMA_CUT, ids=["left", "right"])
def test_a_face_beyond_the_edge_is_cut_off(pipeline: LocalPipeline, path: Path) -> None:
    assert of_photo(pipeline, path.read_bytes()) == ["cut_off"]


def portrait(lightness: np.ndarray) -> np.ndarray:
    """Noise of that brightness, 0..255, as a portrait."""
    noise = np.random.default_rng(1).normal(0, 25, (112, 112))
    grey = np.clip(lightness + noise, 0, 255).astype(np.uint8)
    return np.repeat(grey[None, :, :, None], 3, axis=3)


def test_light_from_one_side_is_uneven() -> None:
    halves = np.where(np.arange(112) < 56, 25.0, 215.0)[None].repeat(112, axis=0)
    assert measure_quality(portrait(halves))[0].light_fault == "uneven_light"


def test_grey_without_structure_is_of_low_contrast() -> None:
    grey = np.full((1, 112, 112, 3), 128, np.uint8)
    assert measure_quality(grey)[0].light_fault == "low_contrast"


def test_black_and_white_without_tones_is_harsh() -> None:
    pattern = np.random.default_rng(2).choice(np.array([0, 255], np.uint8), (112, 112))
    assert measure_quality(np.repeat(pattern[None, :, :, None], 3, axis=3))[0].light_fault == "harsh_light"


def test_ordinary_light_has_no_fault() -> None:
    assert measure_quality(portrait(np.full((112, 112), 140.0)))[0].light_fault is None
