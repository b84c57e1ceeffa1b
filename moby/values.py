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

__all__ = ["NOTHING", "asdict", "defaults", "evolve", "field", "frozen"]


class _Nothing:
    """What a field has for a default that has none."""


NOTHING = _Nothing()


class _Field:
    """How a field gets its value when none is given, and whether it is shown and compared."""

    __slots__ = ("default", "eq", "factory", "repr")

    def __init__(
        self, default: Any, factory: Callable[[], Any] | None = None, show: bool = True, eq: bool = True
    ) -> None:
        self.default = default
        self.factory = factory
        self.repr = show
        self.eq = eq


def field(
    *, default: Any = NOTHING, factory: Callable[[], Any] | None = None, repr: bool = True, eq: bool = True
) -> Any:
    """Say how a field gets its value when none is given, by a default or a call for each; if it is shown, compared."""
    return _Field(default, factory, repr, eq)


class _Description:
    """The attribute by which attrs knows its classes; made when first read."""

    def __get__(self, instance: object, owner: type) -> Any:
        import attrs

        made = {name: _described(each) for name, each in owner.__moby_fields__.items()}  # type: ignore[attr-defined]
        found = attrs.fields(attrs.make_class(owner.__name__, made, frozen=True))
        owner.__attrs_attrs__ = found  # type: ignore[attr-defined]
        return found


def _described(field: _Field) -> Any:
    import attrs

    if field.factory is not None:
        return attrs.field(factory=field.factory, repr=field.repr, eq=field.eq)
    return attrs.field(
        default=attrs.NOTHING if field.default is NOTHING else field.default, repr=field.repr, eq=field.eq
    )


def _initializer(fields: Mapping[str, _Field], ready: Callable[[Any], None] | None) -> Callable[..., None]:
    names, known, count = tuple(fields), fields.keys(), len(fields)
    defaults = {name: each.default for name, each in fields.items() if not each.factory and each.default is not NOTHING}
    factories = [(name, each.factory) for name, each in fields.items() if each.factory]

    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807 - it becomes a method
        values = self.__dict__
        if len(args) == count and not given:  # as those are made that there are most of
            values.update(zip(names, args, strict=True))
            if ready is not None:
                ready(self)
            return
        values.update(defaults)
        if args:
            values.update(zip(names, args, strict=False))
        if given:
            values.update(given)
        for name, factory in factories:
            if name not in values:
                values[name] = factory()
        if values.keys() != known or len(args) > len(names) or (args and given):
            _check(self, names, args, given)
        if ready is not None:
            ready(self)

    return __init__


def _check(self: Any, names: tuple[str, ...], args: tuple[Any, ...], given: dict[str, Any]) -> None:
    """Raise the TypeError that a function raises for such arguments."""
    called = type(self).__name__
    if len(args) > len(names):
        raise TypeError(f"{called}() takes {len(names)} arguments but {len(args)} were given")
    for each in given:
        if each not in names:
            raise TypeError(f"{called}() got an unexpected keyword argument {each!r}")
        if each in names[: len(args)]:
            raise TypeError(f"{called}() got multiple values for argument {each!r}")
    for each in names:
        if each not in self.__dict__:
            raise TypeError(f"{called}() missing required argument: {each!r}")


def _refuse(self: object, name: str, *_: object) -> None:
    """Keep a value as it is, with the error of attrs, which is an AttributeError."""
    from attrs.exceptions import FrozenInstanceError

    raise FrozenInstanceError


def _values(self: Any) -> tuple[Any, ...]:
    found = self.__dict__
    return tuple([found[name] for name in self.__moby_compared__])


def _equal_whole(self: Any, other: Any) -> Any:
    return self.__dict__ == other.__dict__ if other.__class__ is self.__class__ else NotImplemented


def _equal(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _less(self: Any, other: Any) -> Any:
    return _values(self) < _values(other) if other.__class__ is self.__class__ else NotImplemented


def _at_most(self: Any, other: Any) -> Any:
    return _values(self) <= _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash((self.__class__, _values(self)))


def _shown(self: Any) -> str:
    inside = ", ".join([f"{name}={getattr(self, name)!r}" for name, each in self.__moby_fields__.items() if each.repr])
    return f"{self.__class__.__qualname__.rsplit('>.', 1)[-1]}({inside})"


def _make(cls: Any, order: bool) -> Any:
    fields: dict[str, _Field] = {}
    for base in reversed(cls.__mro__[1:]):
        fields.update(getattr(base, "__moby_fields__", {}))
    own = cls.__dict__
    for name in cls.__annotations__ if "__annotations__" in own or "__annotate_func__" in own else ():
        default = own.get(name, NOTHING)
        fields[name] = default if isinstance(default, _Field) else _Field(default)
        if isinstance(default, _Field):
            delattr(cls, name)
    cls.__moby_fields__ = fields
    cls.__moby_compared__ = tuple([name for name, each in fields.items() if each.eq])
    setattr(cls, "__match_args__", tuple(fields))  # noqa: B010 - which mypy takes for a field
    cls.__attrs_attrs__ = _Description()
    cls.__moby_ready__ = own.get("__attrs_post_init__")
    cls.__init__ = _initializer(fields, cls.__moby_ready__)
    cls.__setattr__ = cls.__delattr__ = _refuse
    cls.__eq__ = _equal_whole if len(cls.__moby_compared__) == len(fields) else _equal
    cls.__hash__ = _hash
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
    kind = value.__class__
    fields = kind.__dict__.get("__moby_fields__")
    if fields is None:
        import attrs

        return attrs.evolve(value, **changes)  # type: ignore[misc]
    if kind.__moby_ready__ or not changes.keys() <= fields.keys():  # type: ignore[attr-defined]
        return kind(**{**value.__dict__, **changes})
    made = kind.__new__(kind)
    made.__dict__.update(value.__dict__, **changes)
    return made


def defaults(kind: type) -> dict[str, Any] | None:
    """Return the fields of a class of values, of attrs' too, with their defaults or NOTHING; None of another class."""
    found = kind.__dict__.get("__moby_fields__")
    if found is not None:
        return {name: each.factory() if each.factory else each.default for name, each in found.items()}
    if "__attrs_attrs__" not in kind.__dict__:
        return None
    import attrs

    theirs = {each.name: each.default for each in attrs.fields(kind)}
    theirs = {name: each.factory() if isinstance(each, attrs.Factory) else each for name, each in theirs.items()}  # type: ignore[arg-type]
    return {name: NOTHING if each is attrs.NOTHING else each for name, each in theirs.items()}


def asdict(value: Any) -> dict[str, Any]:
    """Return the fields by name, those of values inside too (attrs.asdict)."""
    return {name: _plain(getattr(value, name)) for name in value.__moby_fields__}


def _plain(value: Any) -> Any:
    if hasattr(value.__class__, "__moby_fields__"):
        return asdict(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    return type(value)(_plain(each) for each in value) if type(value) in (list, tuple, set, frozenset) else value
