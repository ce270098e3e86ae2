"""nginx's warning about descriptors."""

import pytest

from tidegate.config.limits import connections_warning


@pytest.mark.parametrize(
    ("own", "nofile", "limit"),
    [
        ("", 1024, None),
        ("", 99, 99),
        ("worker_rlimit_nofile 50;", 99, 50),
        ("worker_rlimit_nofile 500;", 99, None),
    ],
)
def test_more_connections_than_descriptors_are_warned_of(folder, own, nofile, limit):
    model = folder.model(f"{own} events {{ worker_connections 100; }}")
    expected = f"100 worker_connections exceed open file resource limit: {limit}"
    assert connections_warning(model, nofile) == (expected if limit else None)
