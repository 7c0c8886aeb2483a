"""What a PACS may do wrong, at the wire: each ends in one sentence, and none in a wait without end."""

import json
import ssl
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread

from inference.errors import PacsError
from inference.volumes import archive
from inference.volumes.errors import VolumeError
from inference.volumes.pacs import session
from inference.volumes.pacs.access import Access, read_access
from inference.volumes.pacs.client import open_client
from inference.volumes.pacs.fetching import fetch_images, list_images
from inference.volumes.pacs.series import PetSeries, series_of_study
from tests.inference.volumes.pacs.conftest import Answer, Answering, Request, as_part
from training.phantoms.volume_files import write_series
from training.phantoms.volumes import make_volume

SERIES = PetSeries("1.2.3", "1.2.4")
ONE_SERIES = json.dumps(
    [{"0020000E": {"vr": "UI", "Value": ["1.2.4"]}, "00080060": {"vr": "CS", "Value": ["PT"]}}]
).encode()


def access(
    server: Answering, *, scheme: str = "http", ca: Path | None = None, timeout_s: float = 30
) -> Access:
    url = f"{scheme}://{server.authority}/rs"
    return read_access(url, "me", ca, timeout_s, {"PACS_PASSWORD": "hidden"})


@pytest.mark.parametrize(
    ("answer", "sentence", "attempts"),
    [
        (Answer(503), "is busy or has a fault: try again later, or look into its log (HTTP 503)", 3),
        (Answer(500), "is busy or has a fault", 1),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/login"}), "points elsewhere", 1),
        (Answer(403), "does not allow this", 1),
        (Answer(body=b"<html>log in</html>", kind="text/html"), "none of DICOMweb", 1),
        (Answer(body=b'["a", "b"]'), "none of DICOMweb", 1),
        (Answer(body=b'{"error": "other"}'), "none of DICOMweb", 1),
        (Answer(body=b"[" + b" " * 2000 + b"]"), "an answer of the PACS has more than", 1),
        (Answer(body=b"[]", headers={"Content-Length": "9", "Connection": "close"}), "broke off 3 times", 3),
        (Answer(silent=True), "was silent for 0.5 s", 3),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, str) else "",
)
def test_every_fault_is_one_sentence(
    answer: Answer, sentence: str, attempts: int, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_FILE_BYTES", 1500)
    answering.answer = lambda _: answer
    client = open_client(access(answering, timeout_s=0.5 if answer.silent else 30))
    with pytest.raises(PacsError) as caught:
        series_of_study(client, "1.2.3")
    said = str(caught.value)
    assert sentence in said
    assert len(answering.requests) == attempts
    assert not any(secret in said for secret in ("hidden", "1.2.3", "\n"))


def test_what_passes_is_tried_again(answering: Answering) -> None:
    answering.answer = lambda _: Answer(503 if len(answering.requests) < 3 else 200, ONE_SERIES)
    (found,) = series_of_study(open_client(access(answering)), "1.2.3")
    assert (found, len(answering.requests)) == (SERIES, 3)


def test_an_answer_that_never_ends_is_given_up(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_ANSWER_S", 0)
    with pytest.raises(PacsError, match="takes more than 0 min: it is given up"):
        series_of_study(open_client(access(answering)), "1.2.3")


def test_pages_are_as_large_as_the_server_likes_and_end(answering: Answering) -> None:
    images = [[{"00080018": {"vr": "UI", "Value": [f"1.2.5.{number}"]}}] for number in range(3)]

    def page(request: Request) -> Answer:
        offset = int(request.path.rpartition("offset=")[2])
        return Answer(body=json.dumps(images[min(offset, 2)]).encode())  # the last one for ever

    answering.answer = page
    assert list_images(open_client(access(answering)), SERIES) == ["1.2.5.0", "1.2.5.1", "1.2.5.2"]


def test_images_are_fetched_as_they_are_where_the_pacs_unpacks_none_and_not_without_end(
    answering: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(make_volume(shape=(2, 20, 24), spacing_mm=(8.0, 6.0, 4.0)), tmp_path / "series")
    content = next((tmp_path / "series").iterdir()).read_bytes()
    answering.answer = lambda request: (
        as_part(content) if "transfer-syntax=*" in str(request.accept) else Answer(406)
    )
    client = open_client(access(answering))
    fetched = list(fetch_images(client, SERIES, ["1.2.5", "1.2.6"]))
    assert len(answering.requests) == 3  # one refusal is enough
    (tmp_path / "fetched.dcm").write_bytes(fetched[1])
    assert dcmread(tmp_path / "fetched.dcm") == dcmread(next((tmp_path / "series").iterdir()))

    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 2 * len(content))
    with pytest.raises(VolumeError, match=r"^too large: the files have"):
        list(fetch_images(client, SERIES, ["1.2.5", "1.2.6", "1.2.7", "1.2.8"]))
    answering.answer = lambda _: as_part(b"no image")
    with pytest.raises(PacsError, match="the PACS' answer is no DICOM image"):
        list(fetch_images(client, SERIES, ["1.2.5"]))


def test_only_who_has_the_authoritys_certificate_trusts_the_pacs(
    answering: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever bundle the environment names for other programs."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
    try:
        subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("it needs the openssl command")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    answering.http.socket = context.wrap_socket(answering.http.socket, server_side=True)
    answering.answer = lambda _: Answer(body=ONE_SERIES)
    with pytest.raises(PacsError, match="name its authority's file with --ca-bundle"):
        series_of_study(open_client(access(answering, scheme="https")), "1.2.3")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ssl.get_default_verify_paths().cafile))
    trusted = access(answering, scheme="https", ca=certificate)
    assert series_of_study(open_client(trusted), "1.2.3") == [SERIES]


@pytest.mark.parametrize(
    ("counted", "listed", "complete"),
    [(96, 60, False), (96, 95, False), (1, 0, False), (60, 60, True), (None, 60, True), (59, 60, True)],
)
def test_a_pacs_that_lists_fewer_images_than_it_counts_is_not_taken_at_its_word(
    counted: int | None, listed: int, complete: bool, answering: Answering
) -> None:
    """One that limits its answers, and knows no offset."""
    rows = [{"00080018": {"vr": "UI", "Value": [f"1.2.5.{number}"]}} for number in range(listed)]
    answering.answer = lambda _: Answer(body=json.dumps(rows).encode())
    client = open_client(access(answering))
    series = PetSeries("1.2.3", "1.2.4", images=counted)
    if complete:
        assert len(list_images(client, series)) == listed
        return
    said = f"lists {listed} images of the series and counts {counted}" if listed else "has no images"
    with pytest.raises(PacsError, match=said):
        list_images(client, series)
