"""Arithmetic as the pages write it: `30.4 runs × 15 min ÷ 60 × $0.115`. Words and dollars are for the reader."""

import ast
import operator
import re

_SIGNS = str.maketrans({"×": "*", "÷": "/", "−": "-"})
_DO = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}


def worked_out(text: str) -> float:
    """Return what an expression of numbers comes to. Raises SyntaxError or KeyError for anything else."""
    bare = re.sub(r"[A-Za-z$,]", "", text).translate(_SIGNS).replace("^", "**")
    return _value(ast.parse(bare.strip(), mode="eval").body)


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return _DO[type(node.op)](_value(node.operand))
    return _DO[type(node.op)](_value(node.left), _value(node.right))
