"""The end of a listening socket: whoever was let in before it is heard of, so that it is answered or hung up on."""

import asyncio
from contextlib import suppress

_TURNS = 3  # of the loop: from a connection's being accepted until its protocol has heard of it


async def closed(server: asyncio.Server) -> None:
    """Accept nothing more, let those connections begin that were accepted, and close the server.

    A server that is closed between the two leaves a connection that nobody will ever answer or close (CPython issue 109564, open).
    """
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows' loop has no readers
        for each in server.sockets:
            loop.remove_reader(each)
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    server.close()
