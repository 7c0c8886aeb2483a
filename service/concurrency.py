"""Waiting for one's turn, as long as somebody waits for the answer."""

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect


async def wait_for_turn(turns: anyio.CapacityLimiter, request: Request) -> None:
    """Take one of the turns, unless the client hangs up before: then raise `ClientDisconnect`.

    Whoever has a turn releases it in the same task. A body that is not read yet is thrown away; what
    refuses it is raised.
    """
    has_turn = False
    ended: Exception | None = None
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            nonlocal ended
            try:
                while (await request.receive())["type"] != "http.disconnect":
                    pass
                ended = ClientDisconnect()
            except Exception as error:  # of a body that nobody has read, and that is refused
                ended = error
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await turns.acquire()
        has_turn = True
        group.cancel_scope.cancel()
    if ended is not None:
        if has_turn:
            turns.release()
        raise ended
