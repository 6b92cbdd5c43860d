"""What tests of the relay do with its seats: bring them together within a time, and send frames between them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from mpc.transport.window import DATA, HEAD


def meet(act: Callable[[AsyncExitStack], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(60), AsyncExitStack() as stack:
            await act(stack)

    asyncio.run(whole())


def frame(target: int, payload: bytes = b"", type: int = DATA) -> bytes:
    return HEAD.pack(target, type, 7, 3) + payload
