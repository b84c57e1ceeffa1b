"""Frozen values as attrs makes them, for what a short-lived command imports.

attrs compiles methods for each class, and brings 15 ms of imports: with it, half of what `moby-runtime` takes is that.
Here nothing is compiled. These classes are attrs' in every other way: `attrs.evolve`, `attrs.asdict` and
`attrs.fields` take them, by a description that attrs itself makes once somebody asks for it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar, dataclass_transform, overload

    T = TypeVar("T")

__all__ = ["asdict", "evolve", "field", "frozen"]


class _Missing:
    """What has no default."""


_MISSING = _Missing()


class _Field:
    """How a field gets its value when none is given."""

    __slots__ = ("default", "factory")

    def __init__(self, default: Any, factory: Callable[[], Any] | None) -> None:
        self.default = default
        self.factory = factory


def field(*, default: Any = _MISSING, factory: Callable[[], Any] | None = None) -> Any:
    """Say how a field gets its value when none is given: by a default, or a call for each instance."""
    return _Field(default, factory)


class _Description:
    """The attribute by which attrs knows its classes; made when first read."""

    def __get__(self, instance: object, owner: type) -> Any:
        import attrs

        made = {
            name: attrs.field(factory=each.factory)
            if each.factory is not None
            else attrs.field()
            if each.default is _MISSING
            else attrs.field(default=each.default)
            for name, each in owner.__moby_fields__.items()  # type: ignore[attr-defined]
        }
        found = attrs.fields(attrs.make_class(owner.__name__, made, frozen=True))
        owner.__attrs_attrs__ = found  # type: ignore[attr-defined]
        return found


def _initializer(fields: Mapping[str, _Field], ready: Callable[[Any], None] | None) -> Callable[..., None]:
    names = tuple(fields)

    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807 - it becomes a method
        values = self.__dict__
        values.update(zip(names, args, strict=False))
        if given or len(args) != len(names):
            _complete(self, fields, args, given)
        if ready is not None:
            ready(self)

    return __init__


def _complete(self: Any, fields: Mapping[str, _Field], args: tuple[Any, ...], given: dict[str, Any]) -> None:
    """Set what wasn't given by position; TypeError as a function raises it."""
    values, name = self.__dict__, type(self).__name__
    if len(args) > len(fields):
        raise TypeError(f"{name}() takes {len(fields)} arguments but {len(args)} were given")
    for each, value in given.items():
        if each not in fields:
            raise TypeError(f"{name}() got an unexpected keyword argument {each!r}")
        if each in values:
            raise TypeError(f"{name}() got multiple values for argument {each!r}")
        values[each] = value
    for each, how in fields.items():
        if each in values:
            continue
        if how.factory is not None:
            values[each] = how.factory()
        elif how.default is _MISSING:
            raise TypeError(f"{name}() missing required argument: {each!r}")
        else:
            values[each] = how.default


def _refuse(self: object, name: str, *_: object) -> None:
    """Keep a value as it is, with the error of attrs, which is an AttributeError."""
    from attrs.exceptions import FrozenInstanceError

    raise FrozenInstanceError


def _values(self: Any) -> tuple[Any, ...]:
    found = self.__dict__
    return tuple([found[name] for name in self.__moby_fields__])


def _equal(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _less(self: Any, other: Any) -> Any:
    return _values(self) < _values(other) if other.__class__ is self.__class__ else NotImplemented


def _at_most(self: Any, other: Any) -> Any:
    return _values(self) <= _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash((self.__class__, _values(self)))


def _shown(self: Any) -> str:
    inside = ", ".join([f"{name}={getattr(self, name)!r}" for name in self.__moby_fields__])
    return f"{self.__class__.__qualname__.rsplit('>.', 1)[-1]}({inside})"


def _make(cls: Any, order: bool) -> Any:
    fields: dict[str, _Field] = {}
    for base in reversed(cls.__mro__[1:]):
        fields.update(getattr(base, "__moby_fields__", {}))
    own = cls.__dict__
    for name in cls.__annotations__ if "__annotations__" in own or "__annotate_func__" in own else ():
        default = own.get(name, _MISSING)
        fields[name] = default if isinstance(default, _Field) else _Field(default, None)
        if isinstance(default, _Field):
            delattr(cls, name)
    cls.__moby_fields__ = fields
    setattr(cls, "__match_args__", tuple(fields))  # noqa: B010 - which mypy takes for a field
    cls.__attrs_attrs__ = _Description()
    cls.__init__ = _initializer(fields, own.get("__attrs_post_init__"))
    cls.__setattr__ = cls.__delattr__ = _refuse
    cls.__eq__, cls.__hash__ = _equal, _hash
    if "__repr__" not in own:
        cls.__repr__ = _shown
    if order:
        cls.__lt__, cls.__le__ = _less, _at_most
        cls.__gt__ = lambda self, other: _less(other, self)
        cls.__ge__ = lambda self, other: _at_most(other, self)
    return cls


if TYPE_CHECKING:

    @overload
    @dataclass_transform(frozen_default=True, field_specifiers=(field,))
    def frozen(cls: type[T]) -> type[T]: ...
    @overload
    @dataclass_transform(frozen_default=True, field_specifiers=(field,))
    def frozen(*, order: bool = False) -> Callable[[type[T]], type[T]]: ...


def frozen(cls: Any = None, *, order: bool = False) -> Any:
    """Make a class of frozen values out of annotations, compared by their fields (attrs.frozen, without slots)."""
    return _make(cls, order) if cls is not None else lambda cls: _make(cls, order)


def evolve(value: T, **changes: Any) -> T:
    """Return a copy of a value, also one of attrs' own, with some fields changed (attrs.evolve)."""
    if not hasattr(value, "__moby_fields__"):
        import attrs

        return attrs.evolve(value, **changes)  # type: ignore[misc]
    return type(value)(**{**value.__dict__, **changes})


def asdict(value: Any) -> dict[str, Any]:
    """Return the fields by name, those of values inside too (attrs.asdict)."""
    return {name: _plain(getattr(value, name)) for name in value.__moby_fields__}


def _plain(value: Any) -> Any:
    if hasattr(value.__class__, "__moby_fields__"):
        return asdict(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    return type(value)(_plain(each) for each in value) if type(value) in (list, tuple, set, frozenset) else value
