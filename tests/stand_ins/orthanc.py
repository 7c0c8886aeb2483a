"""A PACS of our own: Orthanc with its DICOMweb plugin, on loopback, with users of its own."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_port

BINARY = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
INSTALLED = BINARY is not None and PLUGIN.exists()
START_DEADLINE_S = 60

KEEPER, READER = ("keeper", "a password of Orthanc's, ä too"), ("reader", "another")

RULES = """
function IncomingHttpRequestFilter(method, uri, ip, username, headers)
  return method == 'GET' or username ~= 'reader'
end
function ReceivedInstanceFilter(dicom, origin, info)
  return not (dicom.PatientID == 'NO-MASKS' and dicom.Modality == 'SEG')
end
"""
"""The reader may not store, and one patient's masks are not kept."""


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc."""

    url: str

    @property
    def dicomweb(self) -> str:
        """Return the address of its DICOMweb service."""
        return f"{self.url}/dicom-web"

    def ask(self, path: str) -> Any:
        """Return what its own API answers, which is not the one under test."""
        return httpx.get(self.url + path, auth=KEEPER, timeout=30).raise_for_status().json()

    def keep(self, folder: Path) -> None:
        """Store the files of a folder by Orthanc's own API."""
        with httpx.Client(auth=KEEPER, timeout=30) as client:
            for file in folder.iterdir():
                client.post(f"{self.url}/instances", content=file.read_bytes()).raise_for_status()

    def files(self, study_uid: str, modality: str) -> list[bytes]:
        """Return the stored files of a study that are of a modality."""
        question = {
            "Level": "Instance",
            "Query": {"StudyInstanceUID": study_uid, "Modality": modality},
        }
        with httpx.Client(auth=KEEPER, timeout=30) as client:
            found = client.post(f"{self.url}/tools/find", json=question).raise_for_status().json()
            return [client.get(f"{self.url}/instances/{name}/file").content for name in found]


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Run Orthanc with what it keeps in a folder; the machine's own configuration has no part in it."""
    assert BINARY is not None
    port = free_port()
    (folder / "rules.lua").write_text(RULES)
    (folder / "orthanc.json").write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "kept"),
                "IndexDirectory": str(folder / "kept"),
                "HttpPort": port,
                "RemoteAccessAllowed": False,
                "DicomServerEnabled": False,
                "AuthenticationEnabled": True,
                "RegisteredUsers": dict([KEEPER, READER]),
                "Plugins": [str(PLUGIN)],
                "LuaScripts": [str(folder / "rules.lua")],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([BINARY, folder / "orthanc.json"], cwd=folder, stdout=log, stderr=log)
    try:
        orthanc = Orthanc(f"http://127.0.0.1:{port}")
        _wait_until_it_answers(orthanc, process, folder / "log")
        yield orthanc
    finally:
        process.terminate()
        process.wait(timeout=START_DEADLINE_S)


def _wait_until_it_answers(orthanc: Orthanc, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            orthanc.ask("/system")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"Orthanc does not answer: {log.read_text()[-2000:]}")
