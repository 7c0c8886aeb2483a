"""What machines cost, as a file says that is there to be changed."""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PRICES = Path(__file__).parent / "prices.toml"


class PricedMachine(BaseModel):
    """A machine that can be hired, and its speed where somebody measured it there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    cores: Annotated[int, Field(ge=1)]
    price_per_hour: Annotated[float, Field(gt=0)]
    card: str | None = None
    scans_per_s: Annotated[float, Field(gt=0)] | None = None

    def speed(self, measured_per_s: float, measured_cores: int) -> float | None:
        """Return scans a second: its own, or those measured on as many cores without a card; else None."""
        if self.scans_per_s is not None:
            return self.scans_per_s
        is_alike = self.card is None and self.cores == measured_cores
        return measured_per_s if is_alike else None


class Prices(BaseModel):
    """A list of prices, and of when it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str
    currency: str
    machines: tuple[PricedMachine, ...]


def read_prices(path: Path = PRICES) -> Prices:
    """Read a list of prices; raises `RuntimeError` with one sentence where it cannot be used."""
    try:
        return Prices.model_validate(tomllib.loads(path.read_text()))
    except tomllib.TOMLDecodeError as error:
        raise RuntimeError(f"{path} is no TOML: {error}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise RuntimeError(f"{path} cannot be used: {where}: {fault['msg']}") from None
