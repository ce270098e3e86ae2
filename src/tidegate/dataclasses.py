"""The standard library's dataclasses, as far as we use them, without what they cost at each start.

Those write and compile six methods for every class, each time that a program starts: a third of
the time until `-t` has its verdict or a worker runs. Here all classes share the same functions.
They have slots, are compared by their values, and are hashed by them when they are frozen.

An instance takes longer to make. What sessions make many of therefore is the standard library's.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MISSING: Final = object()
# What every class has of its own that cannot be handed to the class made anew with slots.
LEFT_OUT = frozenset({"__dict__", "__weakref__"})


class _Field:
    """What is known of a field; a stand-in for its default in the class's text."""

    __slots__ = ("default", "factory", "init", "name", "shown")

    def __init__(
        self, default: object, factory: Callable[[], object] | None, *, init: bool, shown: bool
    ) -> None:
        self.name = ""
        self.default = default
        self.factory = factory
        self.init = init
        self.shown = shown


def _field(
    *,
    default: object = MISSING,
    default_factory: Callable[[], object] | None = None,
    init: bool = True,
    repr: bool = True,  # noqa: A002 - the standard library's name
) -> Any:  # noqa: ANN401 - it stands where a value of the field's type is expected
    return _Field(default, default_factory, init=init, shown=repr)


def _dataclass(
    *, slots: bool, frozen: bool = False, kw_only: bool = False
) -> Callable[[type], type]:
    """Make a class of the fields that are annotated in its body, and those of its base."""
    if not slots:
        raise TypeError("a class without slots is the standard library's to make")

    def make(cls: type) -> type:
        own = [_own_field(cls, name) for name in cls.__annotations__]
        names = {field.name for field in own}
        body = {
            name: value
            for name, value in cls.__dict__.items()
            if name not in names and name not in LEFT_OUT
        }
        table = [field for field in getattr(cls, "__fields__", ()) if field.name not in names]
        table += own
        body["__qualname__"] = cls.__qualname__
        body["__slots__"] = tuple(field.name for field in own)
        body["__fields__"] = tuple(table)
        body["__values__"] = _values_of([field.name for field in table])
        body["__match_args__"] = () if kw_only else tuple(field.name for field in table)
        for name, method in _methods(frozen=frozen):
            body.setdefault(name, method)
        made = type(cls)(cls.__name__, cls.__bases__, body)
        made.__init__ = _initialiser(made, table, kw_only=kw_only)  # type: ignore[misc]
        return made

    return make


def _own_field(cls: type, name: str) -> _Field:
    default = cls.__dict__.get(name, MISSING)
    field = default if isinstance(default, _Field) else _field(default=default)
    field.name = name
    return field


def _values_of(names: list[str]) -> Callable[[object], object]:
    return attrgetter(*names) if names else staticmethod(_nothing)


def _methods(*, frozen: bool) -> Iterable[tuple[str, object]]:
    yield "__repr__", _repr
    yield "__eq__", _eq
    yield "__hash__", _hash if frozen else None
    if frozen:
        yield "__setattr__", _refuse
        yield "__delattr__", _refuse
        yield "__getstate__", _state
        yield "__setstate__", _restore


def _initialiser(made: type, table: list[_Field], *, kw_only: bool) -> Callable[..., None]:
    names = [field.name for field in table if field.init]
    steps = [
        (field.name, getattr(made, field.name).__set__, field.default, field.factory)
        for field in table
        if field.init
    ]
    unasked = [
        (getattr(made, field.name).__set__, field.default, field.factory)
        for field in table
        if not field.init and (field.factory or field.default is not MISSING)
    ]
    prepare = getattr(made, "__post_init__", None)

    def __init__(self: object, /, *values: object, **given: object) -> None:  # noqa: N807
        if values:
            given |= _named(made, [] if kw_only else names, values, given)
        for name, put, default, factory in steps:
            value = given.pop(name, default)
            if value is MISSING:
                if factory is None:
                    raise TypeError(f"{made.__name__} needs {name}")
                value = factory()
            put(self, value)
        if given:
            raise TypeError(f"{made.__name__} takes no {', '.join(given)}")
        for put, default, factory in unasked:
            put(self, factory() if factory else default)
        if prepare:
            prepare(self)

    return __init__


def _named(
    made: type, names: list[str], values: tuple[object, ...], given: dict[str, object]
) -> dict[str, object]:
    """Values that were given by their places, by their names."""
    if len(values) > len(names) or given.keys() & set(names[: len(values)]):
        raise TypeError(f"{made.__name__} takes {len(names)} values by their places, once each")
    return dict(zip(names, values, strict=False))


def _nothing(_one: object) -> tuple[()]:
    return ()


def _repr(self: Any) -> str:  # noqa: ANN401
    shown = (
        f"{field.name}={getattr(self, field.name)!r}" for field in self.__fields__ if field.shown
    )
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: Any) -> object:  # noqa: ANN401
    if type(self) is not type(other):
        return NotImplemented
    return bool(self.__values__(self) == other.__values__(other))


def _hash(self: Any) -> int:  # noqa: ANN401
    return hash(self.__values__(self))


def _refuse(self: object, name: str, *_value: object) -> NoReturn:
    raise AttributeError(f"cannot change {name} of {type(self).__name__}, which is frozen")


def _state(self: Any) -> list[object]:  # noqa: ANN401
    return [getattr(self, field.name) for field in self.__fields__]


def _restore(self: Any, state: list[object]) -> None:  # noqa: ANN401
    for field, value in zip(self.__fields__, state, strict=True):
        object.__setattr__(self, field.name, value)


def _replace(one: Any, /, **changes: object) -> Any:  # noqa: ANN401
    """A copy with other values in some fields."""
    kept = {field.name: getattr(one, field.name) for field in one.__fields__ if field.init}
    return type(one)(**(kept | changes))


def _fields(one: Any) -> tuple[_Field, ...]:  # noqa: ANN401
    return one.__fields__  # type: ignore[no-any-return]


if TYPE_CHECKING:
    # They promise the same, and type checkers know what the standard library's do.
    from dataclasses import dataclass, field, fields, replace
else:
    dataclass, field, fields, replace = _dataclass, _field, _fields, _replace

__all__ = ("dataclass", "field", "fields", "replace")
