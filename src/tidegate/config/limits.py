"""What is known only when a configuration meets the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.config.model import Model


def connections_warning(model: Model, nofile: int) -> str | None:
    """nginx's warning that `worker_connections` exceeds the limit of descriptors.

    `nofile` is the soft RLIMIT_NOFILE of the master; `worker_rlimit_nofile` raises it for workers.
    """
    wanted, own = model.worker_connections, model.worker_rlimit_nofile
    if wanted <= nofile or (own is not None and wanted <= own):
        return None
    limit = nofile if own is None else own
    return f"{wanted} worker_connections exceed open file resource limit: {limit}"
