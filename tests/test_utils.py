import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

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


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(bits: int, colour: int, rows: list[bytes], width: int, *before: bytes, behind: bytes = b"") -> bytes:
    """A PNG file of packed rows, with chunks before its pixels."""
    head = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = (png_chunk(b"IHDR", head), *before, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + behind


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def oriented(scan: np.ndarray, orientation: int, file_format: str) -> bytes:
    """A file whose pixels lie otherwise than they are to be shown, and EXIF that says how."""
    backwards = (0, 1, 2, 3, 4, 5, 8, 7, 6)[orientation]  # what undoes it
    stored = ImageOps.exif_transpose(with_exif(Image.fromarray(scan), backwards))
    buffer = io.BytesIO()
    stored.save(
        buffer, file_format, exif=exif(orientation), **({"quality": 98} if file_format == "JPEG" else {})
    )
    return buffer.getvalue()


def with_exif(image: Image.Image, orientation: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif(orientation))
    return Image.open(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_lies_as_a_viewer_shows_it(orientation: int, file_format: str, phantom: Phantom) -> None:
    scan = decode_image(oriented(phantom.grey, orientation, file_format))
    assert scan.shape == (*phantom.grey.shape, 3)
    assert np.abs(scan[..., 0].astype(int) - phantom.grey).mean() < 1


@pytest.mark.parametrize("data", [b"II*\0", b"no EXIF", b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 20, b""])
def test_damaged_exif_turns_nothing(data: bytes) -> None:
    rows = [b"\xff" * 50] * 40
    assert decode_image(png(8, 0, rows, 50, png_chunk(b"eXIf", data))).shape == (40, 50, 3)
    assert decode_image(png(8, 0, rows, 50, png_chunk(b"eXIf", exif(6).tobytes())[:-1] + b"x")).shape == (
        40,
        50,
        3,
    )
    assert decode_image(png(8, 0, rows, 50, png_chunk(b"eXIf", exif(6).tobytes()[6:]))).shape == (50, 40, 3)


def test_orientation_in_xmp_turns_nothing() -> None:
    buffer = io.BytesIO()
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    Image.fromarray(SCAN).save(buffer, "JPEG", xmp=xmp)
    assert decode_image(buffer.getvalue()).shape == SCAN.shape


TRANSPARENT = {
    "16 bits, black": (16, b"\0\0\x80\x80\xff\xff", 3, 0, [255, 128, 255]),
    "16 bits, nearly black": (16, b"\0\0\0\1\xff\xff", 3, 1, [0, 255, 255]),
    "8 bits": (8, b"\x07\x08\xff", 3, 7, [255, 8, 255]),
    "4 bits": (4, b"\x30\xf0", 3, 3, [255, 0, 255]),
    "2 bits": (2, b"\x1c", 3, 1, [0, 255, 255]),
    "1 bit": (1, b"\xa0", 3, 0, [255, 255, 255]),
}


@pytest.mark.parametrize(
    ("bits", "row", "repeat", "value", "shown"), TRANSPARENT.values(), ids=TRANSPARENT.keys()
)
def test_a_transparent_grey_is_no_uptake(
    bits: int, row: bytes, repeat: int, value: int, shown: list[int]
) -> None:
    width = 48
    values = int.from_bytes(row) >> (len(row) * 8 - repeat * bits)  # of three pixels
    packed = int("".join([f"{values:0{repeat * bits}b}"] * (width // repeat)), 2).to_bytes(width * bits // 8)
    found = decode_image(png(bits, 0, [packed] * 40, width, png_chunk(b"tRNS", struct.pack(">H", value))))
    assert found[7, :3, 0].tolist() == shown


def test_a_transparent_colour_of_16_bits_is_refused_with_a_way_out() -> None:
    data = png(16, 2, [b"\0\1" * 150] * 40, 50, png_chunk(b"tRNS", struct.pack(">HHH", 1, 1, 1)))
    with pytest.raises(
        ScanError, match=r"16 bits a channel and a transparent colour .*: save it with 8 bits"
    ):
        decode_image(data)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15])
def test_few_bits_in_sixteen_are_refused_and_never_shown_black(bits: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, 40 * 50).reshape(40, 50).astype(np.uint16)
    with pytest.raises(ScanError, match=f"no value above {2**bits - 1} of 65535, .* it holds {bits} bits"):
        decode_image(file_bytes(ramp))
    whole = decode_image(file_bytes(ramp << (16 - bits)))
    assert np.abs(whole[..., 0].astype(float) - ramp * 255.0 / (2**bits - 1)).max() <= 1.51


@pytest.mark.parametrize("grey", [0, 10 * 257, 255 * 257])
def test_an_even_picture_of_16_bits_is_one(grey: int) -> None:
    assert (decode_image(file_bytes(np.full((40, 50), grey, np.uint16))) == grey // 257).all()


def jpeg(**options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(SCAN).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def many_passes(data: bytes) -> bytes:
    """A JPEG file whose last pass comes 200 times more."""
    begins, ends = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:ends] + data[begins:ends] * 200 + data[ends:]


def as_mpo(data: bytes) -> bytes:
    """A JPEG file with the marker of a Multi-Picture file of two, and its second picture behind."""
    buffer = io.BytesIO()
    picture = Image.fromarray(SCAN)
    picture.save(buffer, "MPO", save_all=True, append_images=[picture])
    two = buffer.getvalue()
    begins = two.find(b"\xff\xe2")
    length = int.from_bytes(two[begins + 2 : begins + 4])
    return data[:2] + two[begins : begins + 2 + length] + data[2:]


def test_passes_are_counted_whatever_the_file_calls_itself() -> None:
    progressive = jpeg(progressive=True)
    assert Image.open(io.BytesIO(as_mpo(progressive)), formats=("JPEG",)).format == "MPO"
    assert decode_image(as_mpo(progressive)).shape == SCAN.shape
    for data in (many_passes(progressive), as_mpo(many_passes(progressive))):
        with pytest.raises(ScanError, match="a JPEG file of more than 100 passes: send it as PNG"):
            decode_image(data)


@pytest.mark.parametrize(
    "data",
    [
        jpeg() + b"\xff\xda" * 6_000_000,
        jpeg(comment=b"\xff\xda" * 30_000),
        jpeg(exif=b"Exif\0\0" + b"\xff\xda" * 1000),
        jpeg(restart_marker_blocks=1),
    ],
    ids=["behind the picture", "in a comment", "in EXIF", "restarts"],
)
def test_what_is_no_pass_is_not_counted(data: bytes) -> None:
    assert decode_image(data).shape == SCAN.shape


def test_a_jpeg_of_nothing_but_segments_is_refused() -> None:
    data = jpeg()
    with pytest.raises(ScanError):
        decode_image(data[:2] + b"\xff\xfe\0\2" * 200_000 + data[2:])


GREY_ROWS = [b"\xff" * 50] * 40
BROKEN_TEXT = png_chunk(b"tEXt", b"Title\0a")[:-1] + b"!"


@pytest.mark.parametrize(
    "extra",
    [
        png_chunk(b"tEXt", b"Comment\0" + b"a" * 2_000_000),
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 90_000_000)),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"a" * 2_000_000)),
        png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(b"a" * 2_000_000)),
        BROKEN_TEXT,
        png_chunk(b"tIME", b"")[:-1] + b"!",
        png_chunk(b"pHYs", b"short"),
        png_chunk(b"prVt", b"of a program"),
    ],
    ids=["long text", "a bomb of text", "long XMP", "a long profile", "text", "time", "size", "unknown"],
)
def test_what_a_png_says_beside_its_picture_refuses_none(extra: bytes) -> None:
    assert decode_image(png(8, 0, GREY_ROWS, 50, extra)).shape == SCAN.shape
    assert decode_image(png(8, 0, GREY_ROWS, 50, behind=extra + b"and more")).shape == SCAN.shape


def test_a_broken_chunk_that_a_picture_needs_refuses_it() -> None:
    data = bytearray(png(8, 0, GREY_ROWS, 50))
    data[29] ^= 1  # of the header's checksum
    with pytest.raises(ScanError, match="damaged or cut short"):
        decode_image(bytes(data))
    with pytest.raises(ScanError, match="more than 100,000 chunks"):
        decode_image(png(8, 0, GREY_ROWS, 50, *[png_chunk(b"prVt", b"")] * 100_001))


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)], ids=["RGB", "grey, alpha", "RGBA"])
@pytest.mark.parametrize("bits", [12, 14, 15, 16])
def test_few_bits_in_sixteen_are_refused_in_colour_too(colour: int, channels: int, bits: int) -> None:
    pixel = np.full((40, 50, channels), 2**bits - 1, dtype=">u2")
    if channels in (2, 4):
        pixel[..., -1] = 65535
    data = png(16, colour, [row.tobytes() for row in pixel], 50)
    if bits == 16:
        assert (decode_image(data) == 255).all()
        return
    with pytest.raises(
        ScanError, match=f"of 65535, which a viewer shows all but black: it holds {bits} bits"
    ):
        decode_image(data)
