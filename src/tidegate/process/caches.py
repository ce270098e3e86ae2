"""The shared memory of `ssl_session_cache`, by name: the master owns it, workers attach to it.

One of the same name and size is the same in every configuration, so clients may take up their
sessions after a reload, too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tidegate.config.model_tls import session_caches
from tidegate.process.errors import StartError
from tidegate.scoreboard.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidegate.config.model import Stream
    from tidegate.config.model_http import Http


class Caches:
    """The caches of one configuration, in the master."""

    def __init__(self, caches: Mapping[str, Cache] | None = None) -> None:
        self._caches = caches or {}

    def followed_by(self, *protocols: Stream | Http | None) -> Caches:
        """Those of the next configuration; what stays is the same memory. Raises StartError."""
        try:
            return Caches(
                {
                    name: self._same(name, size) or Cache.create(size)
                    for name, size in session_caches(*protocols)
                }
            )
        except (OSError, MemoryError, ValueError) as error:
            raise StartError(f"no memory for the zones of ssl_session_cache: {error}") from error

    def _same(self, name: str, size: int) -> Cache | None:
        known = self._caches.get(name)
        return known if known is not None and known.size == size else None

    @property
    def fds(self) -> dict[str, int]:
        """A descriptor for each cache, by name; they stay open here."""
        return {name: cache.fd for name, cache in self._caches.items()}


def attach(fds: Mapping[str, int], known: Mapping[str, Cache]) -> dict[str, Cache]:
    """The caches behind descriptors by name, which are closed; those that are `known` are kept.

    Raises ValueError.
    """
    caches = {}
    for name, fd in fds.items():
        try:
            cache = known.get(name)
            caches[name] = cache if cache and cache.is_behind(fd) else Cache.attach(fd)
        finally:
            os.close(fd)
    return caches
