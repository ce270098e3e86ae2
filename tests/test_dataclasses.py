"""Our dataclasses promise what the standard library's do, which every test here runs on too."""

import copy
import dataclasses as standard
import pickle
import sys
from types import SimpleNamespace
from typing import Generic, TypeVar

import pytest

from tidegate import dataclasses as ours

T = TypeVar("T")


def classes_by(library):
    """The classes of this test, made by one of the two."""
    dataclass, field = library.dataclass, library.field

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Point:
        """A doc."""

        x: int
        y: int = 2
        secret: bytes = field(default=b"", repr=False)

        @property
        def both(self):
            return self.x + self.y

    @dataclass(frozen=True, slots=True)
    class Pair(Generic[T]):
        left: T
        right: T | None = None

    @dataclass(frozen=True, slots=True)
    class Nothing:
        pass

    @dataclass(slots=True, kw_only=True)
    class Draft:
        names: list = field(default_factory=list)
        later: dict = field(init=False)
        count: int = field(default=7, init=False)

        def __post_init__(self):
            self.later = {"of": self.names}

    @dataclass(slots=True, kw_only=True)
    class Longer(Draft):
        more: int

    @dataclass(frozen=True, slots=True)
    class Quiet:
        value: int

        def __repr__(self):
            return "hush"

    made = SimpleNamespace(
        Point=Point, Pair=Pair, Nothing=Nothing, Draft=Draft, Longer=Longer, Quiet=Quiet
    )
    made.fields, made.replace = library.fields, library.replace
    return made


BOTH = {"ours": classes_by(ours), "the standard library's": classes_by(standard)}


@pytest.fixture(params=BOTH)
def made(request):
    return BOTH[request.param]


def test_values_are_given_by_name_or_by_place(made):
    point = made.Point(x=1)
    assert (point.x, point.y, point.secret, point.both) == (1, 2, b"", 3)
    pair = made.Pair("a", right="b")
    assert (pair.left, pair.right) == ("a", "b")
    assert made.Pair(5).right is None
    assert made.Nothing() == made.Nothing()


@pytest.mark.parametrize(
    "make",
    [
        lambda made: made.Point(),
        lambda made: made.Point(1),
        lambda made: made.Point(x=1, z=2),
        lambda made: made.Pair(1, 2, 3),
        lambda made: made.Pair(1, left=1),
        lambda made: made.Pair(right=1),
        lambda made: made.Nothing(1),
        lambda made: made.Draft(later={}),
        lambda made: made.Draft(count=1),
        lambda made: made.Longer(),
    ],
)
def test_too_few_too_many_and_unknown_values_are_refused(made, make):
    with pytest.raises(TypeError):
        make(made)


def test_frozen_means_frozen(made):
    point = made.Point(x=1)
    for change in (
        lambda: setattr(point, "x", 2),
        lambda: delattr(point, "x"),
        lambda: setattr(point, "other", 2),
    ):
        with pytest.raises((AttributeError, TypeError)):
            change()
    assert point.x == 1


def test_there_are_slots_and_nothing_else(made):
    for one in (made.Point(x=1), made.Draft(), made.Longer(more=1)):
        assert not hasattr(one, "__dict__")
        with pytest.raises((AttributeError, TypeError)):
            one.unheard_of = 1
    size = sys.getsizeof
    assert size(made.Point(x=1)) == size(BOTH["the standard library's"].Point(x=1))


def test_what_can_be_changed_is_changed(made):
    draft = made.Draft()
    draft.names.append("a")
    draft.count += 1
    assert (draft.later, draft.count) == ({"of": ["a"]}, 8)
    assert made.Draft().names == []


def test_a_base_class_gives_its_fields_first(made):
    longer = made.Longer(more=3, names=["a"])
    assert (longer.more, longer.names, longer.later) == (3, ["a"], {"of": ["a"]})
    assert isinstance(longer, made.Draft)
    assert [field.name for field in made.fields(longer)] == ["names", "later", "count", "more"]


def test_equal_values_are_equal_and_have_one_hash(made):
    assert made.Point(x=1) == made.Point(x=1, y=2)
    assert made.Point(x=1) != made.Point(x=2)
    assert made.Point(x=1, secret=b"a") != made.Point(x=1, secret=b"b")
    assert len({made.Point(x=1), made.Point(x=1), made.Point(x=2)}) == 2
    assert made.Pair(1) != made.Quiet(1)
    assert made.Draft() == made.Draft()
    assert made.Draft() != made.Longer(more=1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(made.Draft())


def test_a_repr_shows_what_it_may(made):
    assert repr(made.Point(x=1, secret=b"key")).endswith("Point(x=1, y=2)")
    assert repr(made.Pair("a")).endswith("Pair(left='a', right=None)")
    assert repr(made.Quiet(1)) == "hush"
    assert made.Point.__doc__ == "A doc."


def test_a_copy_may_have_other_values(made):
    point = made.replace(made.Point(x=1, secret=b"a"), y=5)
    assert (point.x, point.y, point.secret) == (1, 5, b"a")
    with pytest.raises(TypeError):
        made.replace(point, z=1)
    assert copy.deepcopy(point) == point
    longer = made.replace(made.Longer(more=1, names=["a"]), more=2)
    assert (longer.more, longer.names, longer.count) == (2, ["a"], 7)


def test_values_match_patterns(made):
    match made.Pair(1, 2):
        case made.Pair(left, 2):
            assert left == 1
        case _:
            pytest.fail("no match")


@ours.dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What goes to another process has to be found by its name."""

    name: str
    data: bytes = ours.field(repr=False)
    rest: tuple = ()


def test_they_can_be_pickled():
    sent = Sent(name="a", data=b"b", rest=(Sent(name="c", data=b""),))
    assert pickle.loads(pickle.dumps(sent, protocol=pickle.HIGHEST_PROTOCOL)) == sent


def test_without_slots_nothing_is_made():
    with pytest.raises(TypeError):
        ours.dataclass(slots=False)
