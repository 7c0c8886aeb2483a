import io

import numpy as np
import pytest
from PIL import Image

from inference.errors import ScanError
from tests.conftest import as_base64, file_bytes
from training.phantoms.drawing import Phantom
from utils import (
    decode_image,
    decode_request,
    dice_score,
    encode_request,
    plot_prediction,
    validate_segmentation,
)

SCAN = np.full((40, 50, 3), 255, np.uint8)


def test_encode_and_decode_are_inverse(phantom: Phantom) -> None:
    decoded = decode_request(encode_request(phantom.grey))
    assert decoded.shape == (*phantom.grey.shape, 3)
    for channel in range(3):
        np.testing.assert_array_equal(decoded[..., channel], phantom.grey)


def test_transparent_pixels_are_no_uptake() -> None:
    rgba = np.zeros((40, 50, 4), np.uint8)  # black, but invisible
    assert (decode_image(file_bytes(rgba)) == 255).all()


def test_sixteen_bits_are_scaled_to_eight() -> None:
    ramp = np.linspace(0, 65535, 40 * 50).reshape(40, 50).astype(np.uint16)
    decoded = decode_image(file_bytes(ramp))[..., 0]
    assert np.abs(decoded.astype(float) - ramp / 257).max() <= 0.51


def test_palette_and_bilevel_images_are_decoded() -> None:
    for mode in ("P", "1", "LA", "L"):
        buffer = io.BytesIO()
        Image.fromarray(SCAN).convert("L").convert(mode).save(buffer, format="PNG")
        np.testing.assert_array_equal(decode_image(buffer.getvalue()), SCAN)


@pytest.mark.parametrize("img", ["", "   ", "data:image/png;base64,", "data:,x", "ä", "abc"])
def test_what_is_no_base64_image_is_refused(img: str) -> None:
    with pytest.raises(ScanError):
        decode_request(img)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "BMP", "WebP", "PDF"])
def test_other_files_are_named(kind: str) -> None:
    with pytest.raises(ScanError, match=f"neither a PNG nor a JPEG file, but a {kind} file: .* PNG$"):
        decode_image(file_bytes(SCAN, kind))
    with pytest.raises(ScanError, match=r"neither a PNG nor a JPEG file$"):
        decode_image(b" " + file_bytes(SCAN, kind))


def test_one_slice_of_a_series_is_named() -> None:
    with pytest.raises(ScanError, match="but one file of DICOM: send its whole series"):
        decode_image(bytes(128) + b"DICM" + bytes(200))


def test_every_cut_of_a_file_is_refused_or_decoded_whole() -> None:
    data = file_bytes(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8))
    whole = decode_image(data)
    for length in range(0, len(data), 37):
        try:
            decoded = decode_image(data[:length])
        except ScanError:
            continue
        np.testing.assert_array_equal(decoded, whole)
    with pytest.raises(ScanError, match="damaged or cut short"):
        decode_image(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        ([[0]], "not a numpy array"),
        (np.zeros((40, 50, 3), bool), "dtype"),
        (np.zeros((40, 50), np.uint8), "shape"),
        (np.zeros((40, 50, 4), np.uint8), "shape"),
        (np.zeros((50, 40, 3), np.uint8), "but the scan is"),
        (np.full((40, 50, 3), 1, np.uint8), "other than 0 and 255"),
        (np.full((40, 50, 3), (255, 0, 0), np.uint8), "neither white nor black"),
    ],
)
def test_invalid_masks_are_named(mask: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        validate_segmentation(SCAN, mask)


def test_valid_masks_pass() -> None:
    mask = np.zeros((40, 50, 3), np.uint8)
    validate_segmentation(SCAN, mask)
    mask[3:9, 4:7] = 255
    validate_segmentation(SCAN, mask)


def test_dice_score() -> None:
    label, prediction = np.zeros((2, 10), bool), np.zeros((2, 10), bool)
    assert dice_score(label, prediction) == 1
    label[0, :4] = True
    assert dice_score(label, prediction) == 0
    prediction[0, 2:8] = True
    assert dice_score(label, prediction) == pytest.approx(2 * 2 / (4 + 6))
    assert dice_score(label * np.uint8(255), prediction) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="differ in shape"):
        dice_score(label, prediction[:1])


def test_plot_prediction_draws_four_panels() -> None:
    label = np.zeros((40, 50, 3), np.uint8)
    figure = plot_prediction(SCAN, label, label)
    assert [axes.get_title() for axes in figure.axes] == ["Scan", "Label", "Prediction", "Dice 1.00"]


def test_decode_request_ignores_white_space() -> None:
    text = as_base64(file_bytes(SCAN))
    np.testing.assert_array_equal(decode_request(f" {text[:10]}\n{text[10:]}\n"), SCAN)
