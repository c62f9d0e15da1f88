"""Every `reason` and `cause` that the functions can give."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from invitations.errors import DependencyUnavailableError
from invitations.outcomes import Cause
from invitations.results import Reason

FUNCTIONS = Path(__file__).parents[1] / "functions"

_NAMES = {"reason", "cause", "verdict"}
# The position of the argument that is one.
_ARGUMENTS = {"_DelayedError": 0, "organisation_ended": 1}
_WORD = re.compile(r"[a-z]+(_[a-z]+)*")


def reasons_of_the_functions() -> set[str]:
    """Collect those of requests from enumerations, those of sweeps and keys from the source."""
    errors = {each.cause for each in DependencyUnavailableError.__subclasses__()}
    sources = (path.read_text(encoding="utf-8") for path in FUNCTIONS.rglob("*.py"))
    found = {*map(str, Reason), *map(str, Cause)} | errors | reasons_in(sources)
    # Only its subclasses are raised.
    return found - {DependencyUnavailableError.cause}


def reasons_in(sources: Iterable[str]) -> set[str]:
    """Collect words that the sources give to a `reason`, `cause` or `verdict`, or return as one.

    A function returns one if it has such a name, or the annotation `str | None`.
    """
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    constants = {
        name: value
        for node in nodes
        if isinstance(node, ast.Assign)
        for name, value in _assigned(node)
        if name.isupper()
    }
    given = [
        constants.get(_name(each), each)
        for node in nodes
        for value in _given(node)
        for each in _alternatives(value)
    ]
    texts = [each.value for each in given if isinstance(each, ast.Constant)]
    return {text for text in texts if isinstance(text, str) and _WORD.fullmatch(text)}


def _given(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Call():
            yield from (each.value for each in node.keywords if each.arg in _NAMES)
            position = _ARGUMENTS.get(_name(node.func), len(node.args))
            yield from node.args[position : position + 1]
        case ast.Assign():
            yield from (value for name, value in _assigned(node) if name in _NAMES)
        case ast.FunctionDef(returns=ast.expr() as returns) if (
            node.name in _NAMES or ast.unparse(returns) == "str | None"
        ):
            returned = [each for each in ast.walk(node) if isinstance(each, ast.Return)]
            yield from (each.value for each in returned if each.value is not None)


def _alternatives(value: ast.expr) -> Iterator[ast.expr]:
    match value:
        case ast.IfExp():
            yield from _alternatives(value.body)
            yield from _alternatives(value.orelse)
        case ast.BoolOp(values=values) | ast.Tuple(elts=values):
            for each in values:
                yield from _alternatives(each)
        case _:
            yield value


def _assigned(node: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    (target,) = node.targets
    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
        yield from zip(map(_name, target.elts), node.value.elts, strict=True)
    else:
        yield _name(target), node.value


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
