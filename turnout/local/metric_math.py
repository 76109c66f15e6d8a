"""CloudWatch's metric maths for alarms: expressions over metrics of the same periods.

A series is a list of values, one per period, None where nothing was reported. Source:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence

Series = list[float | None]
Result = float | Series | tuple[Series, ...]

OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.And: lambda a, b: bool(a) and bool(b),
    ast.Or: lambda a, b: bool(a) or bool(b),
}
OF_ONE: dict[str, Callable[[float], float]] = {
    "ABS": abs,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "LOG": math.log,
    "LOG10": math.log10,
}
OF_MANY: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "MIN": min,
    "MAX": max,
}
FUNCTIONS = {*OF_ONE, *OF_MANY, "IF", "FILL", "METRICS", "PERIOD"}


class NotSupported(ValueError):
    """The expression is not one, or uses what the local cloud does not know; the message says what."""


def parse(expression: str, ids: Sequence[str]) -> ast.expr:
    """Return an expression that `evaluate` can work out over metrics of these ids. Raises NotSupported."""
    text = re.sub(r"&&|\bAND\b", " and ", expression)
    text = re.sub(r"\|\||\bOR\b", " or ", text).replace("^", "**")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise NotSupported(f"the metric expression {expression!r} cannot be read by the local cloud") from error
    for node in ast.walk(tree):
        _check(node, expression, ids)
    return tree


def _check(node: ast.AST, expression: str, ids: Sequence[str]) -> None:
    allowed = (ast.BinOp, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.USub, ast.Call, ast.List, ast.Load, ast.Name)
    constant = isinstance(node, ast.Constant) and isinstance(node.value, (int, float))
    if not (constant or isinstance(node, (*allowed, *OPERATORS))) or getattr(node, "keywords", None):
        raise NotSupported(f"the local cloud does not know all of the metric expression {expression!r}")
    if isinstance(node, ast.Call) and getattr(node.func, "id", None) not in FUNCTIONS:
        name = getattr(node.func, "id", "?")
        raise NotSupported(f"metric expression {expression!r}: the local cloud does not know the function {name}")
    if isinstance(node, ast.Name) and node.id not in {*ids, *FUNCTIONS, "REPEAT"}:
        raise NotSupported(f"metric expression {expression!r}: there is no metric {node.id}")


def names(expression: str, ids: Sequence[str]) -> set[str]:
    """Return the ids that an expression refers to by name. Raises NotSupported."""
    return {node.id for node in ast.walk(parse(expression, ids)) if isinstance(node, ast.Name) and node.id in ids}


def evaluate(
    tree: ast.expr, metrics: Mapping[str, Series], period: float, measured: Sequence[str] | None = None
) -> Series:
    """Return the value of each period.

    `metrics`: the series by id, all of one length, newest period first; `measured`: those that METRICS() means.
    """
    result = Evaluation(metrics, period, list(metrics) if measured is None else measured).value(tree)
    if isinstance(result, tuple):
        raise NotSupported("the metric expression gives several series; an alarm looks at one")
    return result if isinstance(result, list) else [result] * max(map(len, metrics.values()), default=1)


class Evaluation:
    """One working out of an expression."""

    def __init__(self, metrics: Mapping[str, Series], period: float, measured: Sequence[str]) -> None:
        self._metrics, self._period, self._measured = metrics, period, measured

    def value(self, node: ast.expr) -> Result:
        if isinstance(node, ast.Constant):
            return float(node.value)
        if isinstance(node, ast.Name):
            return self._metrics[node.id]
        if isinstance(node, ast.List):
            return tuple(self.value(element) for element in node.elts)
        if isinstance(node, ast.UnaryOp):
            return _each(operator.neg, self.value(node.operand))
        if isinstance(node, ast.BinOp):
            return _each(OPERATORS[type(node.op)], self.value(node.left), self.value(node.right))
        if isinstance(node, ast.Call):
            return self._call(node.func.id, node.args)
        return self._chain(node)

    def _chain(self, node: ast.Compare | ast.BoolOp) -> Result:
        """Comparisons and connections; their values are 1 and 0."""
        if isinstance(node, ast.Compare):
            values, operators = [node.left, *node.comparators], node.ops
        else:
            values, operators = node.values, [node.op] * (len(node.values) - 1)
        result = self.value(values[0])
        for each, other in zip(operators, values[1:], strict=True):
            result = _each(lambda a, b, op=each: float(OPERATORS[type(op)](a, b)), result, self.value(other))
        return result

    def _call(self, name: str, arguments: Sequence[ast.expr]) -> Result:
        if name == "PERIOD":
            return self._period
        if name == "METRICS":
            return tuple(self._metrics[name] for name in self._measured)
        if name == "FILL":
            return self._fill(self.value(arguments[0]), arguments[1])
        values = [self.value(argument) for argument in arguments]
        if name == "IF":
            otherwise = values[2] if len(values) > 2 else [None] * _length(*values)
            return _choose(values[0], values[1], otherwise)
        if name in OF_ONE:
            return _each(OF_ONE[name], values[0])
        return _over(OF_MANY[name], values[0])

    def _fill(self, series: Result, filler: ast.expr) -> Result:
        if isinstance(series, tuple):
            return tuple(self._fill(one, filler) for one in series)
        if isinstance(filler, ast.Name) and filler.id == "REPEAT":
            return _repeat(series)
        other = self.value(filler)
        others = other if isinstance(other, list) else [other] * _length(series)
        return [given if value is None else value for value, given in zip(_listed(series), others, strict=True)]


def _length(*values: Result) -> int:
    return max((len(value) for value in values if isinstance(value, list)), default=1)


def _listed(value: Result) -> Series:
    return value if isinstance(value, list) else [value]


def _each(function: Callable, *values: Result) -> Result:
    """Apply a function period by period; where a value is missing, or there is no result, the result is missing."""
    if any(isinstance(value, tuple) for value in values):
        length = max(len(value) for value in values if isinstance(value, tuple))
        spread = [value if isinstance(value, tuple) else (value,) * length for value in values]
        return tuple(_each(function, *parts) for parts in zip(*spread, strict=True))
    if all(isinstance(value, float) for value in values):
        return _apply(function, values)
    count = _length(*values)
    columns = [value if isinstance(value, list) else [value] * count for value in values]
    return [_apply(function, row) for row in zip(*columns, strict=True)]


def _apply(function: Callable, row: Sequence[float | None]) -> float | None:
    try:
        return None if None in row else float(function(*row))
    except (ArithmeticError, ValueError):
        return None


def _choose(test: Result, then: Result, otherwise: Result) -> Series:
    count = _length(test, then, otherwise)
    columns = [value if isinstance(value, list) else [value] * count for value in (test, then, otherwise)]
    return [yes if condition else no for condition, yes, no in zip(*columns, strict=True)]


def _over(function: Callable[[Sequence[float]], float], value: Result) -> Result:
    """Over several series: period by period; over one: a single number."""
    if isinstance(value, tuple):
        rows = [[v for v in row if v is not None] for row in zip(*map(_listed, value), strict=True)]
        return [function(row) if row else None for row in rows]
    known = [v for v in _listed(value) if v is not None]
    return float(function(known)) if known else [None]


def _repeat(series: Result) -> Series:
    filled, last = [], None
    for value in reversed(_listed(series)):
        last = value if value is not None else last
        filled.append(last)
    return filled[::-1]
