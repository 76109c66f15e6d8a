"""Which parts of a template's properties a CloudFormation handler reads, found in the handler's source.

The source is followed with the properties' paths in place of their values: through keys, loops, comparisons, local
functions and calls of other functions whose source is there. A part that leaves the sight (it is stored, printed,
given to a builtin) counts as read with everything below it. So what is *not* read here is never read, but for
handlers that a test would show; what is read may still have no effect.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any

Path = tuple[str, ...]

MOST_ROUNDS = 6  # over a function's body, until nothing new is found
DEEPEST = 12  # calls within calls
MOST_ENTERED = 2  # calls of one function within itself
#: Builtins that look at a value without using what is in it.
LOOKING = {"isinstance", "len", "bool", "any", "all", "callable", "hasattr", "type"}
#: What gives its argument back, or a copy.
COPYING = {"dict", "list", "tuple", "set", "sorted", "reversed", "enumerate", "iter", "next", "copy", "deepcopy"}
KEYED = {"get", "pop", "setdefault"}


@dataclass
class Reads:
    """Paths that were looked at, and paths below which everything is used."""

    seen: set[Path] = field(default_factory=set)
    whole: set[Path] = field(default_factory=set)

    def add(self, other: "Reads") -> None:
        self.seen |= other.seen
        self.whole |= other.whole

    def reads(self, path: Path) -> bool:
        """Whether the part of the properties at `path` is looked at."""
        return path in self.seen or self.uses(path)

    def uses(self, path: Path) -> bool:
        """Whether everything at and below `path` is used."""
        return any(path[:length] in self.whole for length in range(len(path) + 1))


@dataclass(frozen=True)
class Value:
    """What an expression may stand for: parts of the properties, constants and functions."""

    paths: frozenset[Path] = frozenset()
    constants: tuple[Any, ...] = ()

    def __or__(self, other: "Value") -> "Value":
        more = tuple(c for c in other.constants if not any(c is mine or _same(c, mine) for mine in self.constants))
        return Value(self.paths | other.paths, self.constants + more)


NOTHING = Value()


@dataclass(frozen=True)
class Local:
    """A function or lambda that is defined inside another one."""

    node: ast.FunctionDef | ast.Lambda
    scope: "Scope"


class Elements(tuple):
    """A sequence written in the source, each element a Value."""


def reads_of(function: Callable, parameter: str, prefix: Path = ()) -> Reads:
    """Return what `function` reads of the properties that it is given as `parameter`; they lie at `prefix`."""
    found = Reads()
    reader = Reader(found)
    reader.use(reader.call(function, {parameter: Value(frozenset({prefix}))}))
    return found


class Reader:
    """Follows functions and notes what they read."""

    def __init__(self, reads: Reads) -> None:
        self.reads = reads
        self._under_way: list[tuple] = []
        self._known: dict[tuple, Value] = {}

    def call(self, function: FunctionType, arguments: Mapping[str, Value]) -> Value:
        """Follow one function; what cannot be followed uses its arguments whole."""
        function = inspect.unwrap(function)
        closed = function.__closure__ or ()
        if not closed and not any(map(carries, arguments.values())):
            return NOTHING  # it is given nothing of the properties
        node = _source_of(function)
        if node is None:
            self.use(*arguments.values())
            return NOTHING
        free = dict(zip(function.__code__.co_freevars, closed, strict=True))
        closure = {name: Value(constants=(cell.cell_contents,)) for name, cell in free.items() if _filled(cell)}
        return self.follow(node, Scope(function.__globals__, closure), arguments, closed)

    def follow(self, node: ast.AST, outer: "Scope", arguments: Mapping[str, Value], owner: Any) -> Value:
        """Follow a function in the scope that it is defined in; `owner` tells apart functions of one source."""
        given = tuple(sorted((name, _signature(value)) for name, value in arguments.items()))
        key = (id(node), id(owner), outer.state(), given)
        if key in self._known:
            return self._known[key]
        entered = sum(under_way[0] == key[0] for under_way in self._under_way)
        if entered >= MOST_ENTERED or len(self._under_way) >= DEEPEST:  # it calls itself
            self.use(*arguments.values())
            return NOTHING
        scope = Scope(outer.names, {}, outer)
        for parameter, default in _defaults(node):
            scope.bind(parameter, outer_value(self, outer, default))
        for name, value in arguments.items():
            scope.values[name] = value
        self._under_way.append(key)
        try:
            returned = Body(self, scope).run(node)
        finally:
            self._under_way.pop()
        self._known[key] = returned
        return returned

    def use(self, *values: Value) -> None:
        for value in values:
            self.reads.whole |= value.paths
            for constant in value.constants:
                if isinstance(constant, Elements):
                    self.use(*constant)

    def see(self, value: Value, keys: Iterable[str]) -> Value:
        """Look keys up in parts of the properties; return what lies there."""
        paths = {(*path, key) for path in value.paths for key in keys}
        self.reads.seen |= paths
        return Value(frozenset(paths))


def outer_value(reader: Reader, scope: "Scope", node: ast.AST) -> Value:
    """Return what an expression means outside the function's body: a parameter's default."""
    return Body(reader, scope).value(node)


class Scope:
    """Names and what they may stand for, regardless of when they are assigned."""

    def __init__(self, names: Mapping[str, Any], values: dict[str, Value], outer: "Scope | None" = None) -> None:
        self.names, self.values, self.outer = names, values, outer
        self.changed, self._version = False, 0

    def state(self) -> tuple[int, ...]:
        """Return what differs when a name here, or further out, may stand for more than it did."""
        return (self._version, *(self.outer.state() if self.outer else ()))

    def bind(self, name: str, value: Value) -> None:
        before = self.values.get(name, NOTHING)
        after = before | value
        if after.paths != before.paths:
            self.changed, self._version = True, self._version + 1
        self.values[name] = after

    def lookup(self, name: str) -> Value:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        return Value(constants=(self.names[name],)) if name in self.names else NOTHING


class Body(ast.NodeVisitor):
    """One function's body in one scope."""

    def __init__(self, reader: Reader, scope: Scope) -> None:
        self.reader, self.scope = reader, scope
        self.returned = NOTHING

    def run(self, node: ast.AST) -> Value:
        if isinstance(node, ast.Lambda):
            return self.value(node.body)
        for _ in range(MOST_ROUNDS):
            self.scope.changed, before = False, self.returned
            for statement in node.body:
                self.visit(statement)
            if not self.scope.changed and self.returned.paths == before.paths:
                break
        return self.returned

    # Statements

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name not in self.scope.values:
            self.scope.bind(node.name, Value(constants=(Local(node, self.scope),)))

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.returned |= self.value(node.value)

    def visit_Yield(self, node: ast.Yield) -> None:
        if node.value is not None:
            self.returned |= self.value(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.assign(node.target, self.value(node.value))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        value = self.value(node.value)
        if isinstance(node.target, ast.Name):
            self.scope.bind(node.target.id, value)
        else:
            self.reader.use(value)

    def visit_For(self, node: ast.For) -> None:
        for element in self.elements(self.value(node.iter)):
            self.assign_anew(node.target, element)
            for statement in [*node.body, *node.orelse]:
                self.visit(statement)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            self.reader.use(self.value(item.context_expr))
        for statement in node.body:
            self.visit(statement)

    def visit_Expr(self, node: ast.Expr) -> None:
        self.value(node.value)

    def visit_If(self, node: ast.If) -> None:
        self.value(node.test)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    visit_While = visit_If

    def visit_Raise(self, node: ast.Raise) -> None:
        for part in (node.exc, node.cause):
            if part is not None:
                self.value(part)

    def visit_Delete(self, node: ast.Delete) -> None:
        return  # taking a key away is not reading it

    def assign(self, target: ast.AST, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.scope.bind(target.id, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for index, part in enumerate(target.elts):
                self.assign(part, self.item(value, index))
        elif isinstance(target, ast.Starred):
            self.assign(target.value, value)
        else:  # stored in something that is not followed
            self.reader.use(value)
            for part in ast.iter_child_nodes(target):
                if isinstance(part, ast.expr):
                    self.value(part)

    # Expressions

    def value(self, node: ast.AST) -> Value:
        method = getattr(self, f"value_{type(node).__name__}", None)
        if method is not None:
            return method(node)
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                self.reader.use(self.value(part))
        return NOTHING

    def value_Constant(self, node: ast.Constant) -> Value:
        return Value(constants=(node.value,))

    def value_Name(self, node: ast.Name) -> Value:
        return self.scope.lookup(node.id)

    def value_Tuple(self, node: ast.Tuple | ast.List | ast.Set) -> Value:
        return Value(constants=(Elements(self.value(part) for part in node.elts),))

    value_List = value_Set = value_Tuple

    def value_Starred(self, node: ast.Starred) -> Value:
        return self.value(node.value)

    def value_Dict(self, node: ast.Dict) -> Value:
        result, written = NOTHING, {}
        for key, item in zip(node.keys, node.values, strict=True):
            value = self.value(item)
            if key is None:  # {**value}
                result |= value
                continue
            self.reader.use(self.value(key), value)
            if isinstance(key, ast.Constant):
                written[key.value] = Value(constants=value.constants)
        return result | Value(constants=(written,)) if written else result

    def value_BoolOp(self, node: ast.BoolOp) -> Value:
        result = NOTHING
        for part in node.values:
            result |= self.value(part)
        return result

    def value_IfExp(self, node: ast.IfExp) -> Value:
        self.value(node.test)
        return self.value(node.body) | self.value(node.orelse)

    def value_NamedExpr(self, node: ast.NamedExpr) -> Value:
        value = self.value(node.value)
        self.assign(node.target, value)
        return value

    def value_BinOp(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.BitOr):  # of two dicts
            return left | right
        self.reader.use(Value(left.paths), Value(right.paths))
        if not isinstance(node.op, ast.Add):
            self.reader.use(left, right)
        sequences = [c for c in (*left.constants, *right.constants) if isinstance(c, (tuple, list))]
        return Value(constants=tuple(sequences))

    def value_UnaryOp(self, node: ast.UnaryOp) -> Value:
        self.value(node.operand)
        return NOTHING

    def value_Compare(self, node: ast.Compare) -> Value:
        left = self.value(node.left)
        for operator, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.value(comparator)
            if isinstance(operator, (ast.In, ast.NotIn)) and right.paths:
                self.reader.see(right, self.strings(left) or ())
        return NOTHING

    def value_Subscript(self, node: ast.Subscript) -> Value:
        held, key = self.value(node.value), self.value(node.slice)
        if held.paths:
            return self.look_up(held, key) if self.strings(key) is not None else Value(held.paths)
        return self.constant_item(held, key)

    def value_Slice(self, node: ast.Slice) -> Value:
        return NOTHING

    def value_Attribute(self, node: ast.Attribute) -> Value:
        held = self.value(node.value)
        self.reader.use(Value(held.paths))
        return Value(constants=tuple(_attributes(held.constants, node.attr)))

    def value_Lambda(self, node: ast.Lambda) -> Value:
        return Value(constants=(Local(node, self.scope),))

    def value_Await(self, node: ast.Await) -> Value:
        return self.value(node.value)

    def value_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
        self.generators(node.generators)
        return self.value(node.elt)

    value_SetComp = value_GeneratorExp = value_ListComp

    def value_DictComp(self, node: ast.DictComp) -> Value:
        self.generators(node.generators)
        self.reader.use(self.value(node.key), self.value(node.value))
        return NOTHING

    def generators(self, generators: Iterable[ast.comprehension]) -> None:
        for generator in generators:
            self.assign(generator.target, _joined(self.elements(self.value(generator.iter))))
            for test in generator.ifs:
                self.value(test)

    def value_Call(self, node: ast.Call) -> Value:
        if isinstance(node.func, ast.Attribute):
            held = self.value(node.func.value)
            if held.paths:
                return self.method(held, node)
            if node.func.attr in ("items", "values", "keys") and not node.args:
                return Value(constants=tuple(_entries(held.constants, node.func.attr)))
            called = Value(constants=tuple(_attributes(held.constants, node.func.attr)))
            name = node.func.attr
        else:
            called, name = self.value(node.func), getattr(node.func, "id", "")
        return self.call(called, name, node)

    def method(self, held: Value, node: ast.Call) -> Value:
        """A method of a part of the properties."""
        name, arguments = node.func.attr, [self.value(argument) for argument in node.args]
        if name in KEYED and arguments:
            self.reader.use(*(Value(argument.paths) for argument in arguments[:1]))
            default = arguments[1] if len(arguments) > 1 else NOTHING
            return self.look_up(held, arguments[0]) | default
        if name == "copy":
            return held
        self.reader.use(held, *arguments)
        return NOTHING

    def look_up(self, held: Value, key: Value) -> Value:
        keys = self.strings(key)
        if keys is None:
            self.reader.use(held)
            return NOTHING
        return self.reader.see(held, keys)

    def call(self, called: Value, name: str, node: ast.Call) -> Value:
        arguments = [self.value(argument) for argument in node.args]
        keywords = {keyword.arg: self.value(keyword.value) for keyword in node.keywords}
        everything = [*arguments, *keywords.values()]
        if name in LOOKING:
            return NOTHING
        if name in COPYING:
            return _joined(everything)
        if name == "zip":
            return Value(constants=(Elements([Value(constants=(Elements(everything),))]),))
        functions = [c for c in called.constants if isinstance(c, (FunctionType, Local))]
        starred = any(isinstance(a, ast.Starred) for a in node.args) or None in keywords
        if not functions or starred:
            self.reader.use(*everything)
            return NOTHING
        return _joined(self.call_one(function, arguments, keywords) for function in functions)

    def call_one(self, function: FunctionType | Local, arguments: list[Value], keywords: dict[str, Value]) -> Value:
        names = _parameters(function.node if isinstance(function, Local) else function)
        if names is None or len(arguments) > len(names):
            self.reader.use(*arguments, *keywords.values())
            return NOTHING
        bound = dict(zip(names, arguments, strict=False)) | keywords
        if isinstance(function, Local):
            return self.reader.follow(function.node, function.scope, bound, function.scope)
        return self.reader.call(function, bound)

    def elements(self, value: Value) -> list[Value]:
        """Return what a loop over the value gives, one by one; elements of a template's list have the list's path."""
        found = [Value(value.paths)] if value.paths or not value.constants else []
        for constant in value.constants:
            found += [item if isinstance(item, Value) else Value(constants=(item,)) for item in _iterated(constant)]
        return found

    def assign_anew(self, target: ast.AST, value: Value) -> None:
        """Assign in a loop: its constants take turns."""
        for name in ast.walk(target):
            if isinstance(name, ast.Name) and value.constants:
                self.scope.values.pop(name.id, None)
        self.assign(target, value)

    def item(self, value: Value, index: int) -> Value:
        """Return one part of a value that is unpacked."""
        result = Value(value.paths)
        for constant in value.constants:
            if isinstance(constant, (tuple, list)) and index < len(constant):
                part = constant[index]
                result |= part if isinstance(part, Value) else Value(constants=(part,))
        return result

    def constant_item(self, held: Value, key: Value) -> Value:
        result = NOTHING
        for constant in held.constants:
            if isinstance(constant, Mapping):
                found = [constant[k] for k in key.constants if _hashable(k) and k in constant]
                for part in found or constant.values():
                    result |= part if isinstance(part, Value) else Value(constants=(part,))
        return result

    @staticmethod
    def strings(value: Value) -> list[str] | None:
        """Return the keys that a value may be, None when they are not known."""
        if value.paths or not value.constants or not all(isinstance(c, str) for c in value.constants):
            return None
        return list(value.constants)


def _joined(values: Iterable[Value]) -> Value:
    result = NOTHING
    for value in values:
        result |= value
    return result


def carries(value: Value) -> bool:
    """Whether a value holds a part of the properties, or a function that may."""
    return bool(value.paths) or any(isinstance(constant, (Local, Elements)) for constant in value.constants)


def _signature(value: Value) -> tuple:
    return tuple(sorted(value.paths)), tuple(_identity(constant) for constant in value.constants)


def _identity(constant: Any) -> tuple:
    """Return what tells constants apart, equal for what is made anew at each evaluation of the same source."""
    if isinstance(constant, Elements):
        return ("elements", *(_signature(element) for element in constant))
    if isinstance(constant, dict) and all(isinstance(part, Value) for part in constant.values()):
        return ("dict", *((key, _signature(part)) for key, part in constant.items()))
    if isinstance(constant, Local):
        return ("local", id(constant.node), id(constant.scope))
    return (repr(constant),) if isinstance(constant, (str, int, bool, type(None))) else ("other", id(constant))


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, str) and isinstance(other, str) and one == other


def _hashable(value: Any) -> bool:
    return isinstance(value, (str, int, bool, type(None)))


def _iterated(constant: Any) -> Iterable[Any]:
    if isinstance(constant, (tuple, list, set, frozenset)):
        return list(constant)
    return list(constant) if isinstance(constant, dict) else []


def _entries(constants: Iterable[Any], which: str) -> Iterator[Any]:
    """Yield `.items()`, `.keys()` or `.values()` of constant dicts, as sequences."""
    for constant in constants:
        if isinstance(constant, Mapping) and not isinstance(constant, ModuleType):
            entries = {"items": constant.items, "keys": constant.keys, "values": constant.values}[which]()
            yield [tuple(entry) if which == "items" else entry for entry in entries]


def _attributes(constants: Iterable[Any], name: str) -> Iterator[Any]:
    for constant in constants:
        if isinstance(constant, ModuleType) and hasattr(constant, name):
            yield getattr(constant, name)


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _defaults(node: ast.FunctionDef | ast.Lambda) -> Iterator[tuple[str, ast.AST]]:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    for argument, default in zip(
        positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True
    ):
        yield argument.arg, default
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield argument.arg, default


def _parameters(function: FunctionType | ast.AST) -> list[str] | None:
    """Return the names of positional parameters, None when there are parameters of any number."""
    if isinstance(function, FunctionType):
        node = _source_of(inspect.unwrap(function))
        if node is None:
            return None
    else:
        node = function
    if node.args.vararg or node.args.kwarg:
        return None
    return [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]


def _source_of(function: FunctionType) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """Return where a function is written; None when its module has no source, or a line has several lambdas."""
    module = sys.modules.get(function.__module__)
    if module is None or not getattr(module, "__file__", None):
        return None
    found = _functions(module.__file__).get((function.__name__, function.__code__.co_firstlineno), [])
    return found[0] if len(found) == 1 else None


@lru_cache
def _functions(file: str) -> dict[tuple[str, int], list[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]]:
    """Return a file's functions by name and first line (that of the first decorator, as code objects count)."""
    with open(file, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    found: dict[tuple[str, int], list] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault((node.name, line), []).append(node)
    return found
