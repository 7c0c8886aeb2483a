import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from service.limits.body_limit import HELD_AT_MOST, BodyLimit

LIMIT = 1000


async def count(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def client() -> TestClient:
    app = Starlette(routes=[Route("/", count, methods=["POST"])])
    app.add_middleware(BodyLimit, max_bytes=LIMIT)
    return TestClient(app)


def test_a_body_of_the_limit_passes(client: TestClient) -> None:
    assert client.post("/", content=b"a" * LIMIT).text == str(LIMIT)


def test_one_byte_more_does_not(client: TestClient) -> None:
    answer = client.post("/", content=b"a" * (LIMIT + 1))
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_does_not_say_its_length_is_counted(client: TestClient) -> None:
    assert client.post("/", content=(b"a" * 100 for _ in range(10))).text == str(LIMIT)
    assert client.post("/", content=(b"a" * 100 for _ in range(11))).status_code == 413


def test_bodies_that_are_too_large_together_are_refused_and_then_forgotten() -> None:
    limit = BodyLimit(Starlette(routes=[Route("/", count, methods=["POST"])]), max_bytes=LIMIT)
    client = TestClient(limit)
    limit.held_bytes = others = HELD_AT_MOST * LIMIT - 10
    assert client.post("/", content=b"a" * 10).text == "10"
    assert client.post("/", content=b"a" * 11).status_code == 503
    assert limit.held_bytes == others
