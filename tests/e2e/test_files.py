"""Files are found, refused and redirected as nginx does, and sent whole."""

import hashlib
import os
import signal
import threading

import pytest

from lab import proc, same_http
from lab.waiting import wait_until

HTTP = """
    types { text/html html; text/plain txt; }
    default_type application/octet-stream;
    server {
        listen PORT;
        root ROOT;
        location /alias/ { alias ROOT/folder/; }
        location /tries/ { try_files $uri $uri/ /page.html; }
        location /only/ { try_files $uri =410; }
        location /named/ { try_files $uri @else; }
        location @else { return 200 "named $uri $args"; }
        location /asked/ { try_files $uri /shown?more=$arg_x; }
        location /dropped/ { try_files $uri /shown; }
        location /shown { return 200 "$uri $args"; }
        location /list/ { index no.html start.txt; }
        location /inside/ { internal; }
        error_page 404 /missing.html;
        location = /missing.html { }
        location /plain/ { error_page 404 /404.txt; }
    }
"""


OUTSIDE = [
    "/../secret.txt",
    "/..%2fsecret.txt",
    "/%2e%2e/secret.txt",
    "/folder/..%2f..%2f..%2fsecret.txt",
    "/folder/%2e%2e/%2e%2e/secret.txt",
    "/page.html%00",
    "/page.html%00.txt",
    "/..%5csecret.txt",
    "/alias../secret.txt",
    "/tries/..%2f../secret.txt",
    "//secret.txt",
    "/....//secret.txt",
    "/%252e%252e/secret.txt",
]


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "root"
    for name in ("folder", "list", "tries", "empty", "inside", "only", "a b"):
        (made / name).mkdir(parents=True)
    for name in ("index.html", "page.html", "folder/index.html", "missing.html", "a b/ü.txt"):
        (made / name).write_text(f"<p>{name}</p>\n")
    (made / "list/start.txt").write_text("start\n")
    (made / "tries/there").write_text("there\n")
    (made / "UPPER.HTML").write_text("upper\n")
    (made / "noextension").write_bytes(bytes(range(256)))
    (made / "zero.txt").write_bytes(b"")
    (tmp_path / "secret.txt").write_text("secret\n")
    (made / "link.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(made / "pipe")
    return made


@pytest.fixture
def pair(lab, root):
    return same_http.both(lab, HTTP.replace("ROOT", str(root)))


def seen(answer, port):
    """What has to be equal; pages of errors bear the name of the program."""
    place = answer["Location"]
    body = answer.body if answer.status < 300 else b""
    return (
        answer.status,
        answer.reason,
        answer["Content-Type"],
        place and place.replace(str(port), "PORT"),
        body,
    )


def same(pair, target, **options):
    """Ask both, check that they answer alike, and give our answer."""
    (_, nginx, _), (_, ours, _) = pair
    answer = same_http.ask(ours, target, **options)
    expected = same_http.ask(nginx, target, **options)
    assert seen(answer, ours) == seen(expected, nginx)
    return answer


TARGETS = [
    "/",
    "/page.html",
    "/page.html?x=1",
    "/UPPER.HTML",
    "/noextension",
    "/zero.txt",
    "/link.txt",
    "/pipe",
    "/folder",
    "/folder?x=1&y",
    "/folder/",
    "/folder/index.html/",
    "/folder//index.html",
    "/./folder/../page.html",
    "/empty",
    "/empty/",
    "/a%20b",
    "/a%20b/%C3%BC.txt",
    "/no",
    "/no/",
    "/no/no",
    "/" + "x" * 300,
    "/alias/",
    "/alias/index.html",
    "/alias/no",
    "/alias/../page.html",
    "/tries/there",
    "/tries/no",
    "/tries/",
    "/only/no",
    "/named/no",
    "/named/no?x=1",
    "/asked/no?x=1&y",
    "/dropped/no?x=1",
    "/list",
    "/list/",
    "/inside/",
    "/missing.html",
    "/plain/no",
]


def test_every_place_is_answered_as_by_nginx(pair):
    for target in TARGETS:
        same(pair, target)
        same(pair, target, method="HEAD")
        same(pair, target, method="POST", headers=["Content-Length: 0"])


def test_the_head_of_a_file_has_nginx_s_fields(pair):
    nginx, ours = (same_http.ask(port, "/page.html") for _, port, _ in pair)
    assert sorted(name for name, _ in ours.head) == sorted(name for name, _ in nginx.head)


def test_nothing_leads_out_of_the_root(pair):
    for target in OUTSIDE:
        assert b"secret" not in same(pair, target).body, target


def test_other_methods_are_not_allowed(pair):
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"):
        for target in ("/page.html", "/no", "/empty/"):
            assert same(pair, target, method=method, headers=["Content-Length: 0"]).status == 405


def test_a_folder_is_listed_as_by_nginx(lab, root):
    (root / "empty/sub&dir").mkdir()
    (root / "empty/.hidden").write_text("no")
    (root / "empty" / ("n" * 60)).write_text("long")
    (root / "empty" / ("d" * 50)).mkdir()
    (root / "empty/ü <x>:?.txt").write_text("odd")
    (root / "empty/nowhere").symlink_to("no")
    http = f"server {{ listen PORT; root {root}; autoindex on; }}"
    pair = same_http.both(lab, http)
    answer = same(pair, "/empty/")
    assert answer.status == 200
    assert b'<a href="sub%26dir/">sub&amp;dir/</a>' in answer.body
    same(pair, "/folder/")
    same(pair, "/empty/", method="HEAD")
    same(pair, "/empty/", method="POST", headers=["Content-Length: 0"])
    same(pair, "/no/")


def test_a_client_may_ask_whether_a_file_has_changed(pair):
    _nginx, (_balancer, port, _mqtt) = pair
    first = same_http.ask(port, "/page.html")
    for condition in (
        f"If-Modified-Since: {first['Last-Modified']}",
        f"If-None-Match: {first['ETag']}",
        f'If-None-Match: "other", {first["ETag"]}',
    ):
        answer = same_http.ask(port, "/page.html", headers=[condition])
        assert (answer.status, answer.body) == (304, b"")
        assert answer["ETag"] == first["ETag"]
    for condition in ("If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT", 'If-None-Match: "x"'):
        assert same_http.ask(port, "/page.html", headers=[condition]).status == 200
    (nginx, _), _ = ((pair[0][1], None), None)
    assert first["Last-Modified"] == same_http.ask(nginx, "/page.html")["Last-Modified"]


def test_a_part_of_a_file_is_the_same_part(pair):
    for span in ("0-0", "10-19", "250-", "-6", "0-1000", "255-255"):
        headers = [f"Range: bytes={span}"]
        answer = same(pair, "/noextension", headers=headers)
        assert answer.status == 206
        nginx = same_http.ask(pair[0][1], "/noextension", headers=headers)
        assert answer["Content-Range"] == nginx["Content-Range"]


def test_a_part_that_is_not_there_is_refused(pair):
    answer = same(pair, "/noextension", headers=["Range: bytes=256-"])
    assert (answer.status, answer["Content-Range"]) == (416, "bytes */256")


def test_several_parts_come_as_one_answer(pair):
    _nginx, (_balancer, port, _mqtt) = pair
    answer = same_http.ask(port, "/noextension", headers=["Range: bytes=0-1,4-5"])
    assert answer.status == 206
    assert answer["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert b"\r\n\r\n\x00\x01\r\n" in answer.body
    assert b"\r\n\r\n\x04\x05\r\n" in answer.body


def test_a_connection_serves_many_files(pair):
    _nginx, (_balancer, port, _mqtt) = pair
    with same_http.connect(port) as sock:
        for _ in range(20):
            assert same_http.ask_on(sock, "/page.html").status == 200
            assert same_http.ask_on(sock, "/no").status == 404
            assert same_http.ask_on(sock, "/", method="HEAD").status == 200
            assert same_http.ask_on(sock, "/zero.txt").body == b""
        sock.sendall(b"GET /page.html HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        assert [one.status for one in same_http.Pipeline(sock).answers(5)] == [200] * 5


def test_a_file_that_grows_meanwhile_is_sent_as_it_was(pair, root):
    _nginx, (_balancer, port, _mqtt) = pair
    growing = root / "growing.txt"
    growing.write_bytes(b"x" * 4_000_000)
    with same_http.connect(port) as sock:
        sock.sendall(b"GET /growing.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        with open(growing, "ab") as file:
            file.write(b"y" * 1_000_000)
        answer = same_http.Answer(sock)
        assert int(answer["Content-Length"]) == len(answer.body)
        # And the connection is good for more.
        assert same_http.ask_on(sock, "/page.html").status == 200


def test_a_large_file_comes_whole_while_others_are_served(pair, root):
    _nginx, (_balancer, port, _mqtt) = pair
    data = os.urandom(1 << 20) * 32
    (root / "large").write_bytes(data)
    found = []

    def fetch():
        found.append(hashlib.sha256(same_http.ask(port, "/large").body).digest())

    fetching = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in fetching:
        thread.start()
    for _ in range(20):
        assert same_http.ask(port, "/page.html").status == 200
    for thread in fetching:
        thread.join()
    assert found == [hashlib.sha256(data).digest()] * 3


def test_a_slow_client_of_a_large_file_costs_no_memory(pair, root):
    _nginx, (balancer, port, _mqtt) = pair
    with open(root / "large", "wb") as file:
        file.truncate(1 << 30)
    assert same_http.ask(port, "/page.html").status == 200
    pids = proc.children(balancer.pid)
    before = sum(map(proc.own_kib, pids))
    slow = []
    for _ in range(20):
        sock = same_http.connect(port)
        sock.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        slow.append(sock)
    assert same_http.ask(port, "/page.html").status == 200
    assert sum(map(proc.own_kib, pids)) - before < 20 * 512
    for sock in slow:
        sock.close()


def control_of(balancer):
    """The pid of the control process, None without one."""
    told = balancer.told("status")["control"]
    return told[0]["pid"] if told else None


def test_a_killed_control_process_is_back_and_clients_waited(pair):
    _nginx, (balancer, port, _mqtt) = pair
    with same_http.connect(port) as kept:
        for _ in range(3):
            assert same_http.ask_on(kept, "/page.html").status == 200
            victim = control_of(balancer)
            os.kill(victim, signal.SIGKILL)
            answer = same_http.ask_on(kept, "/page.html")
            assert answer.status == 200 or (answer.status in {502, 503} and answer["Connection"])
            wait_until(
                lambda sock=kept: same_http.ask_on(sock, "/page.html").status == 200, "it is back"
            )
            assert control_of(balancer) not in {None, victim}


def test_a_reload_changes_what_is_served(pair, root, tmp_path):
    _nginx, (balancer, port, _mqtt) = pair
    other = tmp_path / "other"
    other.mkdir()
    (other / "page.html").write_text("other\n")
    assert same_http.ask(port, "/page.html").body != b"other\n"
    with open(balancer.conf, encoding="utf-8") as file:
        text = file.read()
    with open(balancer.conf, "w", encoding="utf-8") as file:
        file.write(text.replace(f"root {root};", f"root {other};"))
    with same_http.connect(port) as kept:
        assert same_http.ask_on(kept, "/page.html").status == 200
        assert balancer.send("reload").returncode == 0
        assert same_http.ask(port, "/page.html").body == b"other\n"


def test_a_stop_lets_a_download_end_and_leaves_no_folder(pair, root):
    _nginx, (balancer, port, _mqtt) = pair
    data = b"x" * 8_000_000
    (root / "large").write_bytes(data)
    with same_http.connect(port) as sock:
        sock.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        head = sock.recv(1000, 2)  # MSG_PEEK
        assert head.startswith(b"HTTP/1.1 200")
        (path,) = (one for one in unix_paths(balancer.pid) if one.endswith("/control.sock"))
        balancer.quit()
        wait_until(lambda: "gracefully shutting down" in balancer.errors(), "it is told")
        assert same_http.Answer(sock).body == data
    assert balancer.wait() == 0
    assert not os.path.exists(os.path.dirname(path))


def unix_paths(pid):
    """The paths of the Unix sockets that a process has open."""
    inodes = {target[8:-1] for target in proc.descriptors(pid).values()}
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        rows = [line.split() for line in table]
    return {row[7] for row in rows if len(row) == 8 and row[6] in inodes}
