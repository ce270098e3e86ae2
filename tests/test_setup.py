"""What the set-up does to a machine: it installs packages, and wakes no service.

Packages are made here and installed in a copy-on-write image of this machine's file system, in a
mount namespace of the test: nothing of it is left.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    shutil.which("apt-get") is None, reason="only Debian and its kin have apt"
)
SCRIPTS = Path(__file__).parent.parent / "scripts"

# As debhelper makes them for a package with a unit and an init script.
POSTINST = """#!/bin/sh
set -e
update-rc.d NAME defaults >/dev/null
if deb-systemd-helper --quiet was-enabled NAME.service; then
    deb-systemd-helper enable NAME.service >/dev/null
fi
if [ -d /run/systemd/system ]; then deb-systemd-invoke start NAME.service; fi
"""
UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
INIT = """#!/bin/sh
### BEGIN INIT INFO
# Provides: NAME
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
"""

# Does what systemd would do with a unit of /lib, but only notes what is started and stopped.
SYSTEMCTL = """#!/bin/sh
for unit; do :; done
link=/etc/systemd/system/multi-user.target.wants/$unit
case " $* " in
*" preset "*) ln -s "/lib/systemd/system/$unit" "$link" ;;
*" is-enabled "*) [ -L "$link" ] && echo enabled ;;
*" is-active "*) grep -qsx "start $unit" /systemctl.log ;;
*" start "*) echo "start $unit" >>/systemctl.log ;;
*" stop "*) echo "stop $unit" >>/systemctl.log ;;
esac
"""

# $1: where this test has its files. The packages are its own: apt is to know of no others, whose
# lists it would read, and fetch anew when something fails.
ENTER = """
set -e
mount -t tmpfs none "$1/layers"
mkdir "$1/layers/upper" "$1/layers/work"
mount -t overlay none "$1/root" \
    -o "lowerdir=/,upperdir=$1/layers/upper,workdir=$1/layers/work"
rm -rf "$1/root/case" "$1/root/run/systemd"
rm -rf "$1/root/etc/apt/sources.list" "$1/root/etc/apt/sources.list.d"
find "$1/root/var/lib/apt/lists" "$1/root/var/cache/apt" -type f -delete
cp -r "$1/case" "$1/root/case"
mkdir -p "$1/root/run/systemd/system"
rm -f "$1/root/usr/sbin/policy-rc.d" "$1/root/bin/systemctl" "$1/root/usr/bin/systemctl"
cp "$1/case/systemctl" "$1/root/usr/bin/systemctl"
mount -t proc none "$1/root/proc" || mount --bind /proc "$1/root/proc"
mount --bind /dev "$1/root/dev"
exec chroot "$1/root" /bin/sh -e /case/story
"""


class Image:
    """The image of this machine, made anew for each story that is run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("layers", "root", "case"):
            (folder / name).mkdir()
        self.case = folder / "case"
        shutil.copytree(SCRIPTS, self.case / "scripts")
        systemctl = self.case / "systemctl"
        systemctl.write_text(SYSTEMCTL)
        systemctl.chmod(0o755)

    def package(self, name: str, *, ending: str = "") -> None:
        """Make NAME.deb, whose installation starts and enables the service NAME."""
        tree = self.folder / name
        files = {
            "DEBIAN/control": f"Package: {name}\nVersion: 1\nArchitecture: all\n"
            "Maintainer: Nobody <nobody@example.com>\nDescription: a service\n",
            "DEBIAN/postinst": POSTINST.replace("NAME", name) + ending + "\n",
            f"lib/systemd/system/{name}.service": UNIT,
            f"etc/init.d/{name}": INIT.replace("NAME", name),
        }
        for path, text in files.items():
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        deb = self.case / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--build", tree, deb], check=True, capture_output=True)

    def tell(self, story: str) -> str:
        """Run the shell script `story` in a fresh image; gives what it printed."""
        (self.case / "story").write_text(story)
        command = ["unshare", "--mount", "sh", "-c", ENTER, "sh", self.folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def image(tmp_path: Path) -> Image:
    image = Image(tmp_path)
    image.package("tide-new")
    return image


# Prints the links by which services start, and what systemd was told to start or stop.
LOOK = """
find /etc/rc?.d /etc/systemd/system -name '*tide-*' -not -name 'K*' | sort
cat /systemctl.log 2>/dev/null || true
"""
ENABLED_AND_STARTED = [
    *(f"/etc/rc{level}.d/S01tide-new" for level in (2, 3, 4, 5)),
    "/etc/systemd/system/multi-user.target.wants/tide-new.service",
    "start tide-new.service",
]


@pytest.mark.needs("root")
def test_apt_alone_would_enable_and_start_a_service(image: Image) -> None:
    story = "apt-get install -qq --yes /case/tide-new.deb >/dev/null 2>&1" + LOOK
    assert image.tell(story).splitlines() == ENABLED_AND_STARTED


@pytest.mark.needs("root")
def test_a_service_that_comes_with_a_package_is_neither_enabled_nor_started(image: Image) -> None:
    story = f"""
        /case/scripts/apt-install /case/tide-new.deb >/dev/null
        dpkg-query -W -f '${{Status}}\n' tide-new
        ls /usr/sbin/policy-rc.d 2>/dev/null || echo no policy
        {LOOK}
        # An upgrade or a new configuration of the package does not enable it after all.
        dpkg-reconfigure -fnoninteractive tide-new >/dev/null 2>&1 || true
        find /etc/rc?.d /etc/systemd/system -name '*tide-*' -not -name 'K*'
    """
    assert image.tell(story).splitlines() == ["install ok installed", "no policy"]


@pytest.mark.needs("root")
def test_a_service_that_was_there_before_is_not_touched(image: Image) -> None:
    image.package("tide-old")
    story = f"""
        apt-get install -qq --yes /case/tide-old.deb >/dev/null 2>&1
        : >/systemctl.log
        find /etc/rc?.d /etc/systemd/system -name '*tide-old*' | sort >/before
        /case/scripts/apt-install /case/tide-old.deb /case/tide-new.deb >/dev/null
        find /etc/rc?.d /etc/systemd/system -name '*tide-old*' | sort | diff /before -
        wc -l </before
        {LOOK.replace("tide-*", "tide-new")}
    """
    assert image.tell(story).splitlines() == ["8"]


@pytest.mark.needs("root")
def test_a_policy_of_the_administrator_stays_and_what_it_let_start_is_stopped(
    image: Image,
) -> None:
    story = f"""
        printf '#!/bin/sh\nexit 0\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        /case/scripts/apt-install /case/tide-new.deb >/dev/null
        tail -n 1 /usr/sbin/policy-rc.d
        {LOOK}
    """
    expected = ["exit 0", "start tide-new.service", "stop tide-new.service"]
    assert image.tell(story).splitlines() == expected


@pytest.mark.needs("root")
def test_a_failed_installation_leaves_no_policy_and_no_service(image: Image) -> None:
    image.package("tide-bad", ending="exit 7")
    story = f"""
        /case/scripts/apt-install /case/tide-bad.deb >/dev/null 2>&1 || echo "failed: $?"
        ls /usr/sbin/policy-rc.d 2>/dev/null || echo no policy
        {LOOK}
    """
    assert image.tell(story).splitlines() == ["failed: 100", "no policy"]


@pytest.mark.needs("root")
def test_the_policy_of_a_killed_run_is_taken_away_by_the_next(image: Image) -> None:
    image.package("tide-slow", ending="kill -9 $(cat /pid)")
    story = f"""
        sh -c 'echo $$ >/pid; exec /case/scripts/apt-install /case/tide-slow.deb' >/dev/null 2>&1 ||
            echo "ended: $?"
        ls /usr/sbin/policy-rc.d
        /case/scripts/apt-install /case/tide-new.deb >/dev/null
        ls /usr/sbin/policy-rc.d 2>/dev/null || echo no policy
        {LOOK.replace("tide-*", "tide-new")}
    """
    expected = ["ended: 137", "/usr/sbin/policy-rc.d", "no policy"]
    assert image.tell(story).splitlines() == expected


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own are for one user."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_without_rights_it_prints_the_one_line_to_run(open_folder: Path) -> None:
    shutil.copytree(SCRIPTS, open_folder / "scripts")
    (open_folder / "bin").mkdir()
    for name, text in {"sudo": "exit 1", "apt-get": "echo called; exit 1"}.items():
        stub = open_folder / "bin" / name
        stub.write_text(f"#!/bin/sh\n{text}\n")
        stub.chmod(0o755)
    done = subprocess.run(
        [open_folder / "scripts/apt-install", "gcc", "libc6-dev"],
        env={"PATH": f"{open_folder}/bin:{os.environ['PATH']}"},
        user=65534 if os.geteuid() == 0 else None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    line = "  sudo apt-get install --no-install-recommends gcc libc6-dev"
    assert line in done.stderr.splitlines()
    assert "called" not in done.stdout
