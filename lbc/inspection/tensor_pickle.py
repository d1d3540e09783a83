"""The pickles of torch.save, read without creating or calling anything that they name.

Containers become dictionaries and lists, tensors become ``PickledTensor``, and everything else an
``Opaque`` value. What a pickle can take of memory and time is bounded.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, ClassVar

from lbc.inspection.stored_tensor import SIZES

MOST_BYTES, MOST_READS = 1 << 26, 4_000_000
"""Limits of a pickle: a tensor takes 130 bytes and 55 reads."""

STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128", "Untyped": "uint8",
    "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32", "QUInt4x2": "quint4x2",
}  # fmt: skip
"""The element type of each class of storage, as ``FloatStorage`` has float32."""

INERT_MODULES = ("torch", "numpy", "collections", "datetime", "pathlib", "omegaconf", "copyreg")
INERT = {
    "argparse.Namespace", "_codecs.encode",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in (
        "set", "frozenset", "slice", "complex", "bytearray", "range", "list", "dict", "tuple",
        "int", "float", "bool", "str", "bytes", "object",
    )),
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
}  # fmt: skip
"""Values that often lie beside the weights; they are passed over like all others."""


@dataclass(frozen=True)
class Opaque:
    """A value that is not interpreted; ``name`` is that of its class or function."""

    name: str


@dataclass(frozen=True)
class Storage:
    """The memory of tensors: ``elements`` of ``dtype``, stored under ``key``."""

    key: str
    dtype: str
    elements: int


@dataclass(frozen=True)
class PickledTensor:
    """A tensor as pickled: offset and strides are in elements of its storage."""

    dtype: str
    shape: tuple[int, ...]
    storage: Storage | None = None
    offset: int = 0
    strides: tuple[int, ...] = ()
    problem: str = ""


class PickleReader(pickle._Unpickler):
    """Reads one pickle.

    ``foreign`` lists the names of objects that are neither tensors nor inert, ``storages`` the
    element type of each storage. Raises whatever a damaged pickle leads to.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(_Limited(file), encoding="latin1")
        self.foreign: list[str] = []
        self.storages: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Opaque:
        full = f"{module}.{name}"
        inert = module.partition(".")[0] in INERT_MODULES and not name.partition(".")[2]
        hidden = module.startswith(("torch.nn.modules", "torch.optim", "torch.fx", "torch.jit"))
        if (not inert or hidden) and full not in INERT and full not in self.foreign:
            self.foreign.append(full)
        return Opaque(full)

    def persistent_load(self, pid: Any) -> Storage:
        kind, storage, key, _, elements = pid[:5]
        view = pid[5] if len(pid) > 5 else None
        if kind != "storage" or type(elements) is not int or view is not None:
            raise pickle.UnpicklingError("an unknown persistent id")
        name = storage.name.rpartition(".")[2].removesuffix("Storage")
        dtype = self.storages.setdefault(str(key), STORAGES.get(name, name))
        return Storage(str(key), dtype, elements)

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = rebuild(self.stack[-1], arguments)

    def _new_with_keywords(self) -> None:
        self.stack.pop()
        self._reduce()

    def _build(self) -> None:
        self.stack.pop()

    def _frozen_set(self) -> None:
        items = self.pop_mark()  # before ``append`` is looked up: it is another one then
        self.append(items)

    def _set_items(self) -> None:
        items = self.pop_mark()
        _put(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [(key, value)])

    def _dictionary(self) -> None:
        items = self.pop_mark()
        made: dict[object, object] = {}
        self.append(made)
        _put(made, zip(items[::2], items[1::2], strict=True))

    def _extend(self) -> None:
        items = self.pop_mark()
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)

    def _append(self) -> None:
        item = self.stack.pop()
        if type(self.stack[-1]) is list:
            self.stack[-1].append(item)

    def _skip_frame(self) -> None:
        self.read(8)  # frames only tell how much to read ahead

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("an operation that torch.save does not use")


_HANDLERS: Sequence[tuple[bytes, Callable[[Any], None]]] = (
    (pickle.REDUCE, PickleReader._reduce),
    (pickle.NEWOBJ, PickleReader._reduce),
    (pickle.NEWOBJ_EX, PickleReader._new_with_keywords),
    (pickle.BUILD, PickleReader._build),
    (pickle.EMPTY_SET, pickle._Unpickler.dispatch[pickle.EMPTY_LIST[0]]),
    (pickle.ADDITEMS, PickleReader._extend),
    (pickle.FROZENSET, PickleReader._frozen_set),
    (pickle.DICT, PickleReader._dictionary),
    (pickle.SETITEM, PickleReader._set_item),
    (pickle.SETITEMS, PickleReader._set_items),
    (pickle.APPEND, PickleReader._append),
    (pickle.APPENDS, PickleReader._extend),
    (pickle.FRAME, PickleReader._skip_frame),
    *(
        (code, PickleReader._refuse)
        for code in (
            pickle.INST, pickle.OBJ, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID,
            pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER,
        )
    ),
)  # fmt: skip
PickleReader.dispatch.update({code[0]: handler for code, handler in _HANDLERS})


def rebuild(function: object, arguments: Any) -> object:
    """What a call in a pickle stands for; nothing is called."""
    name = function.name if isinstance(function, Opaque) else ""
    match name.rpartition(".")[2], arguments:
        case ("OrderedDict" | "dict" | "defaultdict" | "Counter", _) if "." in name:
            made: dict[object, object] = {}
            if len(arguments) == 1 and isinstance(arguments[0], list | dict):
                given = arguments[0]
                _put(made, given.items() if isinstance(given, dict) else given)
            return made
        case ("_rebuild_tensor" | "_rebuild_tensor_v2", (Storage() as storage, *place)):
            offset, shape, strides = place[:3]
            tensor = _tensor(storage.dtype, shape, storage, offset, strides)
            changed = place[5] if len(place) > 5 and isinstance(place[5], dict) else {}
            bits = ", ".join(str(key) for key, value in changed.items() if value)
            return replace(tensor, problem=f"it has the lazy bit {bits}") if bits else tensor
        case ("_rebuild_tensor_v3", (Storage() as storage, offset, shape, strides, _, _, kind, *_)):
            return _tensor(_short(kind), shape, storage, offset, strides)
        case ("_rebuild_parameter" | "_rebuild_parameter_with_state" | "Parameter", (data, *_)):
            return data
        case ("_rebuild_from_type_v2", (Opaque() as inner, _, tuple() as inner_arguments, *_)):
            return rebuild(inner, inner_arguments)
        case ("_rebuild_qtensor", (Storage() as storage, _, shape, *_)):
            return _problem(storage.dtype, shape, "it is quantised by torch: dequantise it first")
        case ("_rebuild_meta_tensor_no_storage", (kind, shape, *_)):
            return _problem(_short(kind), shape, "it is a meta tensor, without values")
        case ("_rebuild_sparse_tensor", (layout, (*parts,))):
            form = str(_last(layout))
            shape = next((part for part in parts if _is_shape(part)), ())
            values = [part.dtype for part in parts if isinstance(part, PickledTensor)]
            problem = f"its layout is {form or 'sparse'}: save it dense"
            return _problem(values[-1] if values else "", shape, problem)
        case ("_get_layout", (str() as layout,)):
            return Opaque(layout)
        case ("Size", (shape,)):
            return shape
        case _ if name.startswith("torch._utils._rebuild"):
            kind = name.rpartition("._rebuild_")[2]
            return _problem("", (), f"it is a {kind.replace('_', ' ')}")
    return Opaque(name)


def _tensor(dtype: str, shape: Any, storage: Storage, offset: Any, strides: Any) -> PickledTensor:
    numbers = (*shape, *strides, offset)
    if not all(type(number) is int for number in numbers):
        raise pickle.UnpicklingError("a tensor without a shape")
    return PickledTensor(dtype, tuple(shape), storage, offset, tuple(strides))


def _problem(dtype: str, shape: Any, problem: str) -> PickledTensor:
    known = tuple(shape) if _is_shape(shape) else ()
    return PickledTensor(dtype, known, problem=problem)


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple | list) and all(type(at) is int for at in value)


def _short(kind: object) -> str:
    name = str(_last(kind))
    return name if name in SIZES else f"torch.{name}"


def _last(value: object) -> object:
    return value.name.rpartition(".")[2] if isinstance(value, Opaque) else ""


def _put(target: object, items: Any) -> None:
    """Fill a dictionary; keys that could take long to hash are left out."""
    if type(target) is dict:
        for key, value in items:
            if isinstance(key, str | int | float | bytes | None):
                target[key] = value


class _Limited:
    """A file of which only so much is read, in so many steps."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._reads, self._bytes = file, 0, 0

    def read(self, size: int) -> bytes:
        self._count(size)
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        self._count(len(buffer))
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self) -> bytes:
        line = self._file.readline(MOST_BYTES)
        self._count(len(line))
        return line

    def _count(self, size: int) -> None:
        self._reads += 1
        self._bytes += size
        if self._reads > MOST_READS or self._bytes > MOST_BYTES:
            raise pickle.UnpicklingError("it describes more than weights")
