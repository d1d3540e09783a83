"""Every small change of a source file that some test should notice.

The changes are those of mutmut, and calls left out. mutmut itself leaves out decorated functions
and everything outside functions, which is a tenth of ``lbc.sparsity``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Div, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip

UNCALLED = ("len", "isinstance", "TypeVar", "NamedTuple")
"""Calls whose arguments stay: without them they can only fail."""


@dataclass(frozen=True)
class Mutation:
    """One change: in ``field`` of ``parent``, at ``index`` of a list, ``new`` takes a node's place.

    ``scope`` is the qualified name of the outermost function or method, else of the class.
    ``at_import`` is whether it runs when the module is imported, as defaults and constants do.
    ``lines`` are those of the statement.
    """

    file: Path
    scope: str
    at_import: bool
    lines: range
    change: str
    parent: ast.AST
    field: str
    index: int | None
    new: object

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it in ``mutants.md``: module, function, change."""
        return self.file.stem, self.scope or "module", self.change

    def apply(self) -> None:
        """Change the tree in place."""
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        elif self.new is None:
            del getattr(self.parent, self.field)[self.index]
        else:
            getattr(self.parent, self.field)[self.index] = self.new


def mutations(file: Path, tree: ast.Module) -> Iterator[Mutation]:
    """All mutations of a parsed file, in the order of its text; equal ones are numbered."""
    seen: dict[tuple[str, str, str], int] = {}
    for found in _under(tree, Mutation(file, "", True, range(0), "", tree, "", None, None)):
        seen[found.key] = count = seen.get(found.key, 0) + 1
        yield found if count == 1 else replace(found, change=f"{found.change} ({count})")


def _under(parent: ast.AST, at: Mutation) -> Iterator[Mutation]:
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "decorator_list", "format_spec", "bases"):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else ((None, value),):
            if not isinstance(node, ast.AST) or _is_inert(node, parent):
                continue
            here = replace(at, parent=parent, field=field, index=index)
            if isinstance(node, ast.stmt | ast.match_case):
                here = replace(here, lines=_head(node))
            if isinstance(parent, ast.FunctionDef) and field == "body":
                here = replace(here, at_import=False)
            for new, change in _replacements(node):
                yield replace(here, new=new, change=change)
            yield from _under(node, _inside(here, node))


def _inside(at: Mutation, node: ast.AST) -> Mutation:
    if at.at_import and isinstance(node, ast.FunctionDef | ast.ClassDef):
        return replace(at, scope=f"{at.scope}.{node.name}".lstrip("."))
    return at


def _head(node: ast.AST) -> range:
    first: int = node.lineno if isinstance(node, ast.stmt) else node.pattern.lineno  # type: ignore[attr-defined]
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not body:
        return range(first, node.end_lineno + 1)  # type: ignore[attr-defined]
    start = body[0].lineno if isinstance(body[0], ast.stmt) else body[0].pattern.lineno
    return range(first, max(start, first + 1))


def _is_inert(node: ast.AST, parent: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(parent, ast.JoinedStr) and isinstance(node, ast.Constant):
        return True  # an f-string loses all its words at once
    if isinstance(node, ast.keyword) and node.arg == "device":
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)  # a docstring


def _replacements(node: ast.AST) -> Iterator[tuple[object, str]]:
    """What may take the node's place, and how the change reads; None drops it from its list."""
    for new in _changed(node):
        if ast.dump(new) != ast.dump(node):
            yield new, f"{_text(node)} → {_text(new)}"
    if isinstance(node, ast.Match):
        for case in node.cases:
            others = [one for one in node.cases if one is not case]
            yield ast.Match(node.subject, others), f"no case {ast.unparse(case.pattern)}"


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node)).splitlines()[0][:90]


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float() as number):
            yield ast.Constant(number + 1)
        case ast.Constant(value=str() as text):
            yield ast.Constant("" if text else "XX")
        case ast.JoinedStr(values=values):
            yield ast.JoinedStr([one for one in values if isinstance(one, ast.FormattedValue)])
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                new_ops = [*ops[:at], SWAPPED[type(op)](), *ops[at + 1 :]]
                yield ast.Compare(node.left, new_ops, node.comparators)  # type: ignore[arg-type]
        case ast.BoolOp():
            yield ast.BoolOp(SWAPPED[type(node.op)](), node.values)  # type: ignore[arg-type]
        case ast.BinOp():
            yield ast.BinOp(node.left, SWAPPED[type(node.op)](), node.right)  # type: ignore[arg-type]
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.AugAssign():
            swapped = SWAPPED[type(node.op)]()
            yield ast.AugAssign(node.target, swapped, node.value)  # type: ignore[arg-type]
            yield ast.Assign([node.target], node.value)
        case ast.Assign(value=value):
            yield ast.Assign(node.targets, _none_or_text(value))
        case ast.AnnAssign(value=ast.expr() as value):
            yield ast.AnnAssign(node.target, node.annotation, _none_or_text(value), node.simple)
        case ast.IfExp():
            for forced in (True, False):
                yield ast.IfExp(ast.Constant(forced), node.body, node.orelse)
        case ast.Lambda():
            yield ast.Lambda(node.args, _none_or_text(node.body))
        case ast.Break() | ast.Continue():
            yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.Call() if not (isinstance(node.func, ast.Name) and node.func.id in UNCALLED):
            yield from _calls(node)


def _none_or_text(value: ast.expr) -> ast.Constant:
    is_none = isinstance(value, ast.Constant) and value.value is None
    return ast.Constant("" if is_none else None)


def _calls(node: ast.Call) -> Iterator[ast.Call]:
    """The call with every argument None, and without it."""
    none = ast.Constant(None)
    lonely = len(node.args) + len(node.keywords) == 1
    for at, value in enumerate(node.args):
        before, after = node.args[:at], node.args[at + 1 :]
        if not isinstance(value, ast.Starred) and ast.unparse(value) != "None":
            yield ast.Call(node.func, [*before, none, *after], node.keywords)
        if not lonely:
            yield ast.Call(node.func, [*before, *after], node.keywords)
    for at, keyword in enumerate(node.keywords):
        if keyword.arg == "device":
            continue
        rest = [*node.keywords[:at], *node.keywords[at + 1 :]]
        if keyword.arg and ast.unparse(keyword.value) != "None":
            with_none = [
                *node.keywords[:at],
                ast.keyword(keyword.arg, none),
                *node.keywords[at + 1 :],
            ]
            yield ast.Call(node.func, node.args, with_none)
        if not lonely:
            yield ast.Call(node.func, node.args, rest)
