"""Waiting for one's turn, as long as somebody waits for the answer."""

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect


async def wait_for_turn(turns: anyio.CapacityLimiter, request: Request) -> None:
    """Take one of the turns, unless the client hangs up before: then raise `ClientDisconnect`.

    The request's body has to be read; whoever has a turn releases it in the same task.
    """
    has_turn = hung_up = False
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            nonlocal hung_up
            while (await request.receive())["type"] != "http.disconnect":
                pass
            hung_up = True
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await turns.acquire()
        has_turn = True
        group.cancel_scope.cancel()
    if hung_up:
        if has_turn:
            turns.release()
        raise ClientDisconnect
