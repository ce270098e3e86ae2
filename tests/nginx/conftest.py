"""What comparisons with the installed nginx share."""

import pytest

from lab.tls_beside import People


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """Clients' certificates of every kind."""
    return People(*(str(tmp_path_factory.mktemp(name)) for name in ("people", "elsewhere")))
