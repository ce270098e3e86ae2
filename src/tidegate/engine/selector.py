"""The engine as a selector, so that asyncio runs on it."""

from __future__ import annotations

import selectors
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import FileDescriptorLike

    from tidegate.engine.loop import Engine

_READ = 0x001  # EPOLLIN
_WRITE = 0x004  # EPOLLOUT


class EngineSelector(selectors.BaseSelector):
    """A selector whose `select` also serves the engine's own sessions.

    Start a loop on it with `asyncio.Runner(loop_factory=lambda: SelectorEventLoop(selector))`,
    then call `loop.add_reader(engine.wake_fd, engine.serve)`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: object = None
    ) -> selectors.SelectorKey:
        """As selectors.BaseSelector.register."""
        fd = _descriptor(fileobj)
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} (FD {fd}) is already registered")
        self._engine.watch(fd, _interest(events))
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def modify(
        self, fileobj: FileDescriptorLike, events: int, data: object = None
    ) -> selectors.SelectorKey:
        """As selectors.BaseSelector.modify."""
        key = self.get_key(fileobj)
        if events != key.events:
            self._engine.rewatch(key.fd, _interest(events))
        key = self._keys[key.fd] = selectors.SelectorKey(fileobj, key.fd, events, data)
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """As selectors.BaseSelector.unregister."""
        key = self._keys.pop(self.get_key(fileobj).fd)
        # A descriptor closed meanwhile has left epoll by itself.
        with suppress(OSError):
            self._engine.unwatch(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Serve native sessions until a registered descriptor is ready, or the time has come."""
        ready = []
        for fd, events in self._engine.select(-1.0 if timeout is None else max(timeout, 0.0)):
            key = self._keys.get(fd)
            if key is None:
                continue
            # HUP and ERR wake both, as in the standard library's epoll selector.
            mask = (selectors.EVENT_READ if events & ~_WRITE else 0) | (
                selectors.EVENT_WRITE if events & ~_READ else 0
            )
            if mask & key.events:
                ready.append((key, mask & key.events))
        return ready

    def get_key(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """The key of a registered descriptor; KeyError when it is not."""
        try:
            return self._keys[_descriptor(fileobj)]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """All keys by descriptor."""
        return self._keys

    def close(self) -> None:
        """Forget the keys; the engine is closed by its owner."""
        self._keys.clear()


def _descriptor(fileobj: FileDescriptorLike) -> int:
    fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
    if fd < 0:
        raise ValueError(f"invalid file descriptor {fd}")
    return fd


def _interest(events: int) -> int:
    return (_READ if events & selectors.EVENT_READ else 0) | (
        _WRITE if events & selectors.EVENT_WRITE else 0
    )
