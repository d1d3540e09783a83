"""What a reader of bytes of unknown origin is, and words that its format knows."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.mutations import Change


@dataclass(frozen=True)
class Reader:
    """``file`` is where an input is put, below a folder in which everything else is valid.

    ``seeds`` returns valid inputs, ``read`` reads the one in place, and raises one of ``refusals``
    with a sentence if it cannot be read. ``share`` is that of all inputs.
    """

    file: str
    seeds: Callable[[Path], Iterable[bytes]]
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]
    share: float = 1.0
    words: tuple[bytes, ...] = ()
    inside: Callable[[bytes, Random, Change], bytes] | None = None


def own(name: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [(folder / name).read_bytes()]


YAML_WORDS = (
    b"&a", b"*a", b"!!python/object/apply:os.system [touch x]", b"<<: *a", b"? ", b"{", b"[", b"}",
    b"]", b"|", b"- ", b": ", b"!!binary ", b".inf", b".nan", b"1e999", b"~", b"2001-01-01",
    b"1:30", b"'", b'"', b'"\\UFFFFFFFF"', b"\xff\xfe", b"\xe2\x80\xae", b"\0", b"\x85", b"\t",
    b"---", b"...", b"%YAML 1", b"#", b"method: ", b"maxq", b"layers: ", b"pattern: ",
    b"optimizer: ", b"16:32", b"1:1000000", b"0x7fffffffffffffff", b"[" * 60, b"{a: " * 60,
    b"- " * 60, b"\n  ",
)  # fmt: skip
JSON_WORDS = (
    b"[" * 3000, b'{"a":' * 3000, b'"\\ud800"', b'"\\u0000"', b"\xff", b"[]", b"{}", b"null",
    b"NaN", b"-", b",", b":", b'"', b"\n", b"1e999", b'"a":1,',
)  # fmt: skip
PICKLES = (
    b"cos\nsystem\n(S'touch x'\ntR.", b"c__builtin__\nexec\n(S'1'\ntR", b"cbuiltins\nbytearray\nJ"
    b"\xff\xff\xff\x7f\x85R", b"\x8a\xff" + b"\xff" * 255, b"(", b"t", b"R", b"0", b"1", b"2", b"}",
    b"]", b"\x85", b"\x86", b"\x87", b"u", b"s", b"b", b"h\0", b"q\0", b"j\xff\xff\xff\xff", b"Q",
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"\x8f", b"\x90", b"\x91",
    b"\x81", b"\x92", b"\x93", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n",
    b"ccollections\nOrderedDict\n", b"L" + b"9" * 6000 + b"L\n", b"2" * 4000, b"(" * 4000,
)  # fmt: skip
SIZES = tuple(struct.pack(order, at) for order in ("<I", ">I", "<Q", "<H") for at in (0, 1, 65535))
NPY = (b"(1, 3)", b"(-1,)", b"(2**40,)", b"'<f8'", b"'|O'", b"'<U9'", b"[('a','i4')]", b"True")
