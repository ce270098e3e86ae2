"""Files, folders and their failures are found as nginx's static, index and try_files modules do."""

import json
import os

import pytest

from lab import local
from tidegate.config.model import Level
from tidegate.http.local import Verdict
from tidegate.local.lookup import Listed, look_up


def found(place, uri, *, method="GET"):
    """What an order for this URI means: (bytes of the file, type), or a verdict."""
    head = local.request(place, uri, method=method).split(b"\r\n")
    order = next(line[16:] for line in head if line.startswith(b"tidegate-order: "))
    result = look_up(json.loads(order))
    if isinstance(result, Verdict):
        return result
    if isinstance(result, Listed):
        return result
    with open(result.fd, "rb") as file:
        return file.read(), result.media_type


@pytest.fixture
def tree(tmp_path):
    """A root with a page, a folder with an index, one without, and something secret beside it."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "page.HTML").write_text("page")
    (root / "folder/index.html").write_text("index")
    (root / "folder/start.txt").write_text("start")
    (tmp_path / "secret").write_text("secret")
    return root


@pytest.fixture
def place(tree):
    return local.location(local.files(tree))


def test_a_file_has_the_type_of_its_extension_in_any_case(place):
    assert found(place, "/page.HTML") == (b"page", "text/html")


def test_a_name_that_begins_with_a_dot_has_no_extension(tree, place):
    (tree / ".txt").write_text("hidden")
    assert found(place, "/.txt") == (b"hidden", "application/octet-stream")


def test_a_folder_with_an_index_goes_on_with_that(place):
    assert found(place, "/folder/").redirect == "/folder/index.html"


def test_the_first_index_that_exists_is_taken(tree):
    place = local.location(local.files(tree, index=("no.html", "start.txt", "index.html")))
    assert found(place, "/folder/").redirect == "/folder/start.txt"


def test_an_index_may_be_a_uri(tree):
    place = local.location(local.files(tree, index=("no.html", "/page.HTML")))
    assert found(place, "/empty/").redirect == "/page.HTML"


def test_a_folder_without_an_index_is_forbidden(tree, place):
    verdict = found(place, "/empty/")
    assert verdict.status == 403
    assert verdict.error == f'directory index of "{tree}/empty/" is forbidden'
    assert verdict.level == Level.ERROR


def test_a_folder_may_be_listed_where_it_has_no_index(tree):
    place = local.location(local.files(tree, listed=True))
    (tree / "empty/a&b").write_text("12345")
    page = found(place, "/empty/").page
    assert page.startswith(b"<html>\r\n<head><title>Index of /empty/</title></head>\r\n")
    assert b'<a href="a%26b">a&amp;b</a>' in page
    assert found(place, "/folder/").redirect == "/folder/index.html"
    assert found(place, "/no/").status == 404
    assert found(place, "/empty/", method="POST").status == 403


def test_a_folder_that_is_missing_is_not_found(tree, place):
    verdict = found(place, "/no/")
    assert verdict.status == 404
    assert verdict.error == f'"{tree}/no/" is not found (2: No such file or directory)'


def test_a_folder_without_its_slash_is_elsewhere(place):
    verdict = found(place, "/folder")
    assert (verdict.status, verdict.location) == (301, "/folder/")


def test_the_place_of_a_folder_is_escaped(tree, place):
    (tree / "é ?").mkdir()
    assert found(place, "/é ?").location == "/%C3%A9%20%3F/"


def test_bytes_that_are_no_text_name_files_too(tree, place):
    with open(os.fsencode(tree) + b"/\xff.txt", "wb") as file:
        file.write(b"odd")
    assert found(place, "/\udcff.txt") == (b"odd", "text/plain")


def test_a_missing_file_is_not_found(tree, place):
    verdict = found(place, "/no")
    assert verdict.status == 404
    assert verdict.error == f'open() "{tree}/no" failed (2: No such file or directory)'


@pytest.mark.parametrize("uri", ["/page.HTML/x", "/page.HTML/", "/" + "x" * 300])
def test_what_cannot_be_there_is_not_found(place, uri):
    assert found(place, uri).status == 404


def test_a_name_with_a_zero_byte_is_bad(place):
    assert found(place, "/page.HTML\0").status == 400


def test_links_are_followed_as_in_nginx(tree, place):
    (tree / "link.txt").symlink_to(tree.parent / "secret")
    assert found(place, "/link.txt") == (b"secret", "text/plain")
    (tree / "loop").symlink_to("loop")
    assert found(place, "/loop").status == 500


def test_what_is_no_file_is_not_found_and_nobody_waits_for_it(tree, place):
    os.mkfifo(tree / "pipe")
    verdict = found(place, "/pipe")
    assert (verdict.status, verdict.level) == (404, Level.CRIT)
    assert verdict.error == f'"{tree}/pipe" is not a regular file'


@pytest.mark.parametrize(
    ("method", "uri", "status"),
    [
        ("DELETE", "/page.HTML", 405),
        ("DELETE", "/no", 405),
        ("DELETE", "/empty/", 405),
        ("POST", "/page.HTML", 405),
        ("POST", "/no", 404),
        ("POST", "/empty/", 403),
    ],
)
def test_a_method_is_refused_where_nginx_refuses_it(place, method, uri, status):
    assert found(place, uri, method=method).status == status


def test_an_alias_stands_for_what_the_location_matched(tree):
    place = local.location(local.files(f"{tree}/folder/", alias=True), text="/files/")
    assert found(place, "/files/start.txt") == (b"start", "text/plain")
    assert found(place, "/files/").redirect == "/files/index.html"


def test_an_alias_of_a_regular_expression_is_the_whole_path(tree):
    place = local.location(local.files(f"{tree}/page.HTML", alias=True), match="~", text="^/a")
    assert found(place, "/a.txt") == (b"page", "text/plain")


def test_a_root_may_end_with_a_slash(tree):
    assert found(local.location(local.files(f"{tree}/")), "/no").error.startswith(
        f'open() "{tree}/no"'
    )


class TestTryFiles:
    def test_the_first_that_exists_is_served_as_what_it_is(self, tree):
        place = local.location(local.files(tree, tries=("$uri", "/folder/start.txt", "=404")))
        assert found(place, "/page.HTML") == (b"page", "text/html")
        assert found(place, "/no") == (b"start", "text/plain")

    def test_a_folder_counts_only_with_a_slash(self, tree):
        tries = ("$uri", "$uri/", "=404")
        assert found(local.location(local.files(tree, tries=tries)), "/folder").redirect == (
            "/folder/index.html"
        )
        tries = ("$uri", "=410")
        assert found(local.location(local.files(tree, tries=tries)), "/folder").status == 410

    @pytest.mark.parametrize(
        ("last", "uri", "args"),
        [("@node", "@node", None), ("/x.php?a=$uri", "/x.php", "a=/no"), ("/x", "/x", "")],
    )
    def test_the_last_is_where_to_go_on(self, tree, last, uri, args):
        place = local.location(local.files(tree, tries=("$uri", last)))
        verdict = found(place, "/no")
        assert (verdict.redirect, verdict.args) == (uri, args)

    def test_with_an_alias_the_location_is_taken_off(self, tree):
        files = local.files(f"{tree}/folder/", alias=True, tries=("$uri", "/files/start.txt", "/"))
        place = local.location(files, text="/files/")
        assert found(place, "/files/index.html") == (b"index", "text/html")
        assert found(place, "/files/no") == (b"start", "text/plain")

    def test_nothing_leads_out_of_the_root(self, tree):
        place = local.location(local.files(tree, tries=("/folder/..$uri", "=404")))
        assert found(place, "/../secret").status == 404
        assert found(place, "/page.HTML").status == 404
