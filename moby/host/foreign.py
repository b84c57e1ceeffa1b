"""C's types and functions as the interpreter has them in C, without the Python around them.

Importing `ctypes` takes a twentieth of a runtime's command, for classes that nothing here uses. Where an interpreter
has no such half, it is that module. Functions of either take arrays of the other, references and addresses; values of
its other types only where they don't say what they take, as those of `syscalls.prepared` do.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Array", "CDLL", "CFUNCTYPE", "PyDLL", "Structure", "addressof", "byref", "c_char", "c_char_p", "c_int", "c_long",
    "c_uint32", "c_uint64", "c_ushort", "c_void_p", "create_string_buffer", "get_errno", "sizeof",
]  # fmt: skip

try:
    import _ctypes as _half
except ImportError:
    import ctypes as _whole

    globals().update({name: getattr(_whole, name) for name in __all__})
else:
    from _ctypes import Array, Structure, addressof, byref, get_errno, sizeof

    def _simple(name: str, letter: str) -> Any:
        """Return a type by the letter that the struct module has for it, and a few more."""
        return type(name, (_half._SimpleCData,), {"_type_": letter, "__module__": __name__})

    c_char, c_char_p, c_int, c_long = (
        _simple("c_char", "c"), _simple("c_char_p", "z"), _simple("c_int", "i"), _simple("c_long", "l"),
    )  # fmt: skip
    c_ushort, c_uint32, c_uint64, c_void_p = (
        _simple("c_ushort", "H"), _simple("c_uint32", "I"), _simple("c_uint64", "Q"), _simple("c_void_p", "P"),
    )  # fmt: skip

    def create_string_buffer(init: int | bytes, size: int = -1) -> Any:
        """Return that many bytes of memory, all null; or some that begin with bytes, and have a null after them."""
        if isinstance(init, int):
            return (c_char * init)()
        buffer = (c_char * (size if size >= 0 else len(init) + 1))()
        buffer.value = init
        return buffer

    def CFUNCTYPE(result: Any, *arguments: Any) -> Any:  # noqa: N802 - as ctypes calls it
        """Return the type of functions that C may call."""
        fields = {"_argtypes_": arguments, "_restype_": result, "_flags_": _half.FUNCFLAG_CDECL}
        return type("function", (_half.CFuncPtr,), fields)

    class CDLL:
        """The functions of this process, as attributes or by their names; the latter are made anew each time."""

        _flags = _half.FUNCFLAG_CDECL

        def __init__(self, name: Any, *, use_errno: bool) -> None:
            flags = self._flags | (_half.FUNCFLAG_USE_ERRNO if use_errno else 0)
            self._handle = _half.dlopen(name, _half.RTLD_LOCAL)
            self._kind = type("function", (_half.CFuncPtr,), {"_flags_": flags, "_restype_": c_int})

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            found = self[name]
            setattr(self, name, found)
            return found

        def __getitem__(self, name: str) -> Any:
            function = self._kind((name, self))
            function.__name__ = name
            return function

    class PyDLL(CDLL):
        """As CDLL; its functions keep the interpreter's lock."""

        _flags = _half.FUNCFLAG_CDECL | _half.FUNCFLAG_PYTHONAPI
