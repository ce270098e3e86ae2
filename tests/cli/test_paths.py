import os

from tidegate.cli.paths import Paths, paths


def test_root_has_the_places_of_a_service():
    assert paths(uid=0, environ={}) == Paths(
        prefix="/var/lib/tidegate",
        conf="/etc/tidegate/tidegate.conf",
        pid="/run/tidegate.pid",
        error_log="/var/log/tidegate/error.log",
        access_log="/var/log/tidegate/access.log",
    )


def test_anybody_else_has_them_at_home():
    assert paths(uid=1000, environ={"HOME": "/home/a"}) == Paths(
        prefix="/home/a/.local/state/tidegate",
        conf="/home/a/.config/tidegate/tidegate.conf",
        pid="/home/a/.local/state/tidegate/tidegate.pid",
        error_log="/home/a/.local/state/tidegate/error.log",
        access_log="/home/a/.local/state/tidegate/access.log",
    )


def test_the_desktops_variables_are_heeded():
    environ = {
        "HOME": "/home/a",
        "XDG_CONFIG_HOME": "/c",
        "XDG_STATE_HOME": "/s",
        "XDG_RUNTIME_DIR": "/run/user/1000",
    }
    assert paths(uid=1000, environ=environ) == Paths(
        prefix="/s/tidegate",
        conf="/c/tidegate/tidegate.conf",
        pid="/run/user/1000/tidegate.pid",
        error_log="/s/tidegate/error.log",
        access_log="/s/tidegate/access.log",
    )


def test_a_prefix_has_nginxs_layout_and_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = os.getcwd()
    assert paths(prefix="x/") == Paths(
        prefix=f"{here}/x",
        conf=f"{here}/x/conf/tidegate.conf",
        pid=f"{here}/x/logs/tidegate.pid",
        error_log=f"{here}/x/logs/error.log",
        access_log=f"{here}/x/logs/access.log",
    )
