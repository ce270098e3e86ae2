"""A gate in front of a real broker, which a test can make refuse, drop or delay traffic."""

import asyncio
import contextlib

from lab.nodes import Node


class Gate(Node):
    """A node that relays to `target` (host, port)."""

    def __init__(self, target, **options):
        self.target = target
        self._delay = 0.0
        self._dropping = False
        super().__init__(self._relay, keep=False, **options)

    @contextlib.contextmanager
    def delaying(self, seconds):
        """Within the block each piece, in both directions, goes on `seconds` later."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    @contextlib.contextmanager
    def dropping(self):
        """Within the block what comes is lost, as on a cut line: nothing passes, nothing ends."""
        self._dropping = True
        try:
            yield
        finally:
            self._dropping = False

    async def _relay(self, session):
        reader, writer = await asyncio.open_connection(*self.target)
        try:
            up = asyncio.create_task(self._pump(session.recv, writer.write))
            down = asyncio.create_task(self._pump(lambda: reader.read(65_536), session.send))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        finally:
            writer.close()

    async def _pump(self, read, write):
        while data := await read():
            if self._delay:
                await asyncio.sleep(self._delay)
            if not self._dropping:
                sent = write(data)
                if sent is not None:
                    await sent
