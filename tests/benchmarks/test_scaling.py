"""What the command makes of its measurements, and the measuring itself against the running service."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.prices import PRICES, read_prices
from benchmarks.queueing import Machines, ScanTime
from benchmarks.scaling import Load, Meter, calibrate, cost_per_million, predict
from benchmarks.scaling_report import print_costs
from benchmarks.service import RunningService
from tests.conftest import Server
from training.phantoms.drawing import make_phantom
from utils import encode_request


def test_the_machine_is_as_fast_as_was_measured_and_answers_as_soon() -> None:
    times = calibrate([0.1, 0.2, 0.3], busy_scans_per_s=6)
    assert [time.engine_s + time.beside_s for time in times] == pytest.approx([0.1, 0.2, 0.3])
    machines = Machines(times)
    assert machines.capacity_per_s == pytest.approx(6)
    assert predict(machines, Load(clients=4), 20).scans_per_s == pytest.approx(6, rel=0.03)
    assert predict(machines, Load(share=0.5), 20).scans_per_s == pytest.approx(3, rel=0.1)


def test_a_busy_service_slower_than_its_clients_says_nothing_of_a_rest() -> None:
    (time,) = calibrate([0.1], busy_scans_per_s=5)
    assert time == ScanTime(0.1, 0.0)


def test_every_scan_that_is_sent_is_noted(server: Server) -> None:
    body = json.dumps({"img": encode_request(make_phantom(0, size=(96, 96)).grey)}).encode()
    service = RunningService(int(server.url.rpartition(":")[2]), server.process.pid, ready_s=0)
    seen = Meter(service, [body]).open(rate_per_s=20, seconds=0.5)
    assert seen.sent == len(seen.answers_s) + seen.refused > 0
    assert seen.failed == 0
    broken = Meter(service, [b"{}"]).closed(clients=2, seconds=0.1)
    assert broken.failed == broken.sent > 0
    with pytest.raises(RuntimeError, match="did not answer"):
        Meter(service, [b"{}"]).alone(1)


def test_costs_are_told_only_where_a_speed_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost_per_million(0.36, 10) == pytest.approx(10)
    prices = read_prices()
    known = [machine.speed(7, 2) for machine in prices.machines]
    assert 7 in known
    assert all(speed is None for machine, speed in zip(prices.machines, known, strict=True) if machine.card)
    print_costs(prices, 7, 2, Console(width=200))
    assert "not measured" in capsys.readouterr().out


def test_prices_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES.read_text().replace("price_per_hour = 0.0765", "price_per_hour = -1"))
    with pytest.raises(RuntimeError, match=r"machines\.0\.price_per_hour"):
        read_prices(path)
    path.write_text("as_of =")
    with pytest.raises(RuntimeError, match="is no TOML"):
        read_prices(path)
