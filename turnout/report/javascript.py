"""Translates plain Python functions to JavaScript, with everything that they refer to.

It knows the part of the language that formulas are written in: arithmetic, conditions, loops, generators, tuples,
dictionaries, comprehensions. Anything else raises Untranslatable, which names the place, so that a formula is never
half translated.

    print(javascript([turnout.cost.endpoints.realtime]))  # ... function* endpoints$realtime(case_, requests) {
"""

import ast
import importlib
import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

RUNTIME = (Path(__file__).parent / "python.js").read_text()
#: Words that JavaScript keeps for itself and Python does not.
RESERVED = {"case", "const", "default", "delete", "do", "function", "let", "new", "switch", "this", "typeof", "var"}
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "===", ast.NotEq: "!=="}
_BUILTINS = {"abs": "Math.abs", "float": "Number", "max": "Math.max", "min": "Math.min"}
_BUILTINS |= {"len": "py.len", "list": "Array.from", "range": "py.range", "sum": "py.sum"}
_MATH = {name: f"Math.{name}" for name in ("ceil", "exp", "floor", "log", "log10", "sqrt")} | {"erfc": "py.erfc"}
#: Keyword arguments that are left out: how sure a price is changes no figure.
UNSAID = {"confidence"}
_METHODS = {
    "append": "{0}.push({1})",
    "items": "Object.entries({0})",
    "values": "Object.values({0})",
    "join": "{1}.join({0})",
    "startswith": "py.startswith({0}, {1})",
}


class Untranslatable(TypeError):
    """A piece of Python that has no translation here."""


def javascript(wanted: Iterable[Callable[..., Any] | type | tuple[ModuleType, str]]) -> str:
    """Return JavaScript that declares functions, classes, or values of modules, and all that they refer to.

    A declaration is called `module$name`, by the last part of the module's name.
    """
    translator = _Program()
    for each in wanted:
        module, name = each if isinstance(each, tuple) else (inspect.getmodule(each), each.__name__)
        translator.refer(module, name)
    return "\n".join(translator.declared.values())


def literal(value: Any) -> str | None:
    """Return a plain value as JavaScript; None for what has parts that are not plain."""
    if isinstance(value, timedelta):
        return f"new py.Duration({value.total_seconds()!r})"
    if isinstance(value, re.Pattern):
        return f"new py.Pattern({json.dumps(value.pattern)})"
    if value is None or isinstance(value, str | bool | int | float):
        return json.dumps(value)
    if isinstance(value, dict):
        parts = {json.dumps(str(key)): literal(each) for key, each in value.items()}
        return None if None in parts.values() else f"{{{', '.join(f'{key}: {each}' for key, each in parts.items())}}}"
    if isinstance(value, tuple | list | set | frozenset):
        found = [literal(each) for each in value]
        return None if None in found else f"[{', '.join(map(str, found))}]"
    return None


class _Program:
    """Declarations by name, each after those that it refers to while it is made."""

    def __init__(self) -> None:
        self.declared: dict[str, str] = {}
        self._known: set[str] = set()

    def refer(self, module: ModuleType, name: str) -> str:
        """Return what a module's name is called, and declare it where it is not yet."""
        if not hasattr(module, name):
            raise Untranslatable(f"{module.__file__} uses {name}, which is not translated")
        value = getattr(module, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            module, name = importlib.import_module(value.__module__), value.__name__
        called = f"{module.__name__.rpartition('.')[2]}${name}"
        if called not in self._known:
            self._known.add(called)
            self.declared[called] = self._declaration(module, name, called)
        return called

    def _declaration(self, module: ModuleType, name: str, called: str) -> str:
        value = getattr(module, name)
        if (plain := literal(value)) is not None:
            return f"const {called} = {plain};"
        node, source = _found(module, name), _Translator(self, module)
        if isinstance(node, ast.FunctionDef):
            return source.function(node, called)
        if isinstance(node, ast.ClassDef):
            return source.whole_class(node, called)
        return f"const {called} = {source.show(node)};"


def _found(module: ModuleType, name: str) -> ast.AST:
    """Return the definition of a module's function or class, or the expression of its variable."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node.value
    raise Untranslatable(f"{module.__name__} does not define {name}")


class _Translator:
    """One definition's source as JavaScript. `local` holds the names that are its own."""

    def __init__(self, program: _Program, module: ModuleType, local: frozenset[str] = frozenset()) -> None:
        self.program, self.module, self.local = program, module, local

    def function(self, node: ast.FunctionDef, called: str, *, method: bool = False) -> str:
        parameters = [each.arg for each in node.args.args]
        assigned = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and _is_stored(each)}
        inner = _Translator(self.program, self.module, self.local | {*parameters, *assigned})
        shown = inner.parameters(node.args)[1 if method else 0 :]
        star = "*" if any(isinstance(each, ast.Yield | ast.YieldFrom) for each in ast.walk(node)) else ""
        own = ", ".join(_safe(name) for name in sorted(assigned - set(parameters)))
        body = [f"let {own};"] if own else []
        body += [line for each in node.body if not _is_text(each) for line in inner.statement(each)]
        head = f"{_getter(node)}{star}{called}" if method else f"function{star} {called}"
        return f"{head}({', '.join(shown)}) {{\n{_indented(body)}\n}}"

    def whole_class(self, node: ast.ClassDef, called: str) -> str:
        """Return a class with the methods of a dataclass; its fields come with what it is made of."""
        methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
        body = ["constructor(fields) { Object.assign(this, fields); }"]
        body += [self.function(each, each.name, method=True) for each in methods]
        return f"class {called} {{\n{_indented(body)}\n}}"

    def parameters(self, arguments: ast.arguments) -> list[str]:
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
            raise self._error(arguments.args[0], "parameters of this kind")
        first = len(arguments.args) - len(arguments.defaults)
        names = [_safe(each.arg) for each in arguments.args]
        defaults = [self.show(each) for each in arguments.defaults]
        return names[:first] + [f"{name} = {value}" for name, value in zip(names[first:], defaults, strict=True)]

    def statement(self, node: ast.stmt) -> Iterator[str]:
        match node:
            case ast.Expr(ast.YieldFrom(value)):
                yield f"yield* {self.show(value)};"
            case ast.Expr(ast.Yield(ast.AST() as value)):
                yield f"yield {self.show(value)};"
            case ast.Expr(value):
                yield f"{self.show(value)};"
            case ast.Return(None):
                yield "return;"
            case ast.Return(value):
                yield f"return {self.show(value)};"
            case ast.Assign([target], value):
                yield f"{self.target(target)} = {self.show(value)};"
            case ast.AnnAssign(target, _, ast.AST() as value):
                yield f"{self.target(target)} = {self.show(value)};"
            case ast.AugAssign(target, operator, value) if type(operator) in _BINARY:
                yield f"{self.target(target)} {_BINARY[type(operator)]}= {self.show(value)};"
            case ast.If(test, body, other):
                yield f"if ({self.show(test)}) {{"
                yield from self._block(body)
                if other:
                    yield "} else {"
                    yield from self._block(other)
                yield "}"
            case ast.For(target, iterated, body, []):
                yield f"for ({self.target(target)} of {self.show(iterated)}) {{"
                yield from self._block(body)
                yield "}"
            case _:
                raise self._error(node)

    def _block(self, body: list[ast.stmt]) -> Iterator[str]:
        return (f"  {line}" for each in body for line in self.statement(each))

    def target(self, node: ast.expr) -> str:
        """Return what is assigned to; a `_` in a tuple becomes a hole."""
        if isinstance(node, ast.Tuple):
            shown = map(self.target, node.elts)
            return f"[{', '.join('' if name == '_' else name for name in shown)}]"
        if isinstance(node, ast.Name):
            return _safe(node.id)
        raise self._error(node)

    def show(self, node: ast.AST) -> str:
        """Return an expression; what has operators in it stands in brackets."""
        match node:
            case ast.Constant(value) if (plain := literal(value)) is not None:
                return plain
            case ast.Name(name):
                return self._name(name)
            case ast.Attribute(value, name):
                return self._attribute(value, name)
            case ast.Subscript(value, key):
                return f"{self.show(value)}[{self.show(key)}]"
            case ast.BinOp(left, ast.FloorDiv(), right):
                return f"Math.floor({self.show(left)} / {self.show(right)})"
            case ast.BinOp(left, operator, right) if type(operator) in _BINARY:
                return f"({self.show(left)} {_BINARY[type(operator)]} {self.show(right)})"
            case ast.UnaryOp(ast.Not(), value):
                return f"(!{self.show(value)})"
            case ast.UnaryOp(ast.USub(), value):
                return f"(-{self.show(value)})"
            case ast.BoolOp(operator, values):
                return f"({(' && ' if isinstance(operator, ast.And) else ' || ').join(map(self.show, values))})"
            case ast.Compare(left, [operator], [right]):
                return self._comparison(left, operator, right)
            case ast.IfExp(test, body, other):
                return f"({self.show(test)} ? {self.show(body)} : {self.show(other)})"
            case ast.Tuple(values) | ast.List(values):
                return f"[{', '.join(map(self.show, values))}]"
            case ast.Starred(value):
                return f"...{self.show(value)}"
            case ast.Dict(keys, values) if None not in keys:
                pairs = (f"[{self.show(key)}]: {self.show(value)}" for key, value in zip(keys, values, strict=True))
                return f"({{{', '.join(pairs)}}})"
            case ast.GeneratorExp(each, [loop]) | ast.ListComp(each, [loop]):
                return self._comprehension(loop, lambda inner: inner.show(each))
            case ast.DictComp(key, value, [loop]):
                pairs = self._comprehension(loop, lambda inner: f"[{inner.show(key)}, {inner.show(value)}]")
                return f"Object.fromEntries({pairs})"
            case ast.JoinedStr(parts):
                return self._text(parts)
            case ast.Lambda(arguments, body):
                inner = _Translator(self.program, self.module, self.local | {each.arg for each in arguments.args})
                return f"(({', '.join(inner.parameters(arguments))}) => {inner.show(body)})"
            case ast.Call():
                return self._call(node)
        raise self._error(node)

    def _name(self, name: str) -> str:
        if name == "self":
            return "this"
        if name in self.local:
            return _safe(name)
        return _BUILTINS[name] if name in _BUILTINS else self.program.refer(self.module, name)

    def _attribute(self, value: ast.expr, name: str) -> str:
        known = getattr(self.module, value.id, None) if isinstance(value, ast.Name) else None
        if known is math and name in _MATH:
            return _MATH[name]
        if isinstance(known, ModuleType) and value.id not in self.local:
            return self.program.refer(known, name)
        if inspect.isclass(known) and (plain := literal(getattr(known, name, None))) is not None:
            return plain
        return f"{self.show(value)}.{_safe(name)}"

    def _comparison(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> str:
        if isinstance(operator, ast.Is | ast.IsNot) and isinstance(right, ast.Constant) and right.value is None:
            return f"({self.show(left)} {'==' if isinstance(operator, ast.Is) else '!='} null)"
        if type(operator) not in _COMPARE:
            raise self._error(left, type(operator).__name__)
        return f"({self.show(left)} {_COMPARE[type(operator)]} {self.show(right)})"

    def _comprehension(self, loop: ast.comprehension, shown: Callable[["_Translator"], str]) -> str:
        names = {each.id for each in ast.walk(loop.target) if isinstance(each, ast.Name)}
        inner = _Translator(self.program, self.module, self.local | names)
        target = inner.target(loop.target)
        kept = "".join(f".filter(({target}) => {inner.show(test)})" for test in loop.ifs)
        return f"Array.from({self.show(loop.iter)}){kept}.map(({target}) => {shown(inner)})"

    def _text(self, parts: list[ast.expr]) -> str:
        return "(" + " + ".join(['""', *map(self._piece, parts)]) + ")"

    def _piece(self, part: ast.expr) -> str:
        if not isinstance(part, ast.FormattedValue):
            return self.show(part)
        if part.format_spec is None:
            return self.show(part.value)
        (style,) = part.format_spec.values
        return f"py.format({self.show(part.value)}, {self.show(style)})"

    def _call(self, node: ast.Call) -> str:
        arguments = [self.show(each) for each in node.args]
        named = {each.arg: each.value for each in node.keywords if each.arg not in UNSAID}
        if isinstance(node.func, ast.Name) and node.func.id == "sorted" and set(named) == {"key"}:
            return f"py.sorted({arguments[0]}, {self.show(named['key'])})"
        if named:
            raise self._error(node, f"the keyword {', '.join(named)}")
        if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
            return _METHODS[node.func.attr].format(self.show(node.func.value), *arguments)
        return f"{self.show(node.func)}({', '.join(arguments)})"

    def _error(self, node: ast.AST, what: str = "") -> Untranslatable:
        line = getattr(node, "lineno", "?")
        return Untranslatable(f"{self.module.__file__}:{line}: {what or type(node).__name__} is not translated")


def _safe(name: str) -> str:
    return f"{name}_" if name in RESERVED else name


def _is_stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _getter(node: ast.FunctionDef) -> str:
    is_property = any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list)
    return "get " if is_property else ""


def _indented(lines: list[str]) -> str:
    return "\n".join(f"  {line}" for whole in lines for line in whole.split("\n"))
