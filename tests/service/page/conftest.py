from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.service.page.visiting import CHROMIUM


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()
