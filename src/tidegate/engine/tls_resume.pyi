"""How clients take up their sessions: by tickets, which they keep, or out of a shared cache."""

from collections.abc import Sequence

class TicketKeys:
    """The keys of session tickets, which all contexts of a worker may share and which change."""

    def set(self, keys: Sequence[bytes]) -> None:
        """Take `keys`, the first of which makes new tickets; each is nginx's 48 or 80 bytes."""
