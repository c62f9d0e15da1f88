"""Every `reason` and `cause` that the functions can give, read from their source.

A text is one when it is given for a parameter or a field of that name, is assigned to such a name,
or is returned by a function that says why.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

FUNCTIONS = Path(__file__).parents[1] / "functions"

_NAMES = {"reason", "cause", "verdict"}
_SAYS_WHY = {"str", "str | None", "tuple[str, bool]"}
_WORD = re.compile(r"[a-z]+(_[a-z]+)*")


def reasons_in(sources: Iterable[str]) -> set[str]:
    """Collect them from modules' sources."""
    modules = [ast.parse(source) for source in sources]
    reader = _Reader(modules)
    found = {reason for module in modules for reason in reader.of(module)}
    return {reason for reason in found if _WORD.fullmatch(reason)}


def reasons_of_the_functions() -> set[str]:
    return reasons_in(path.read_text(encoding="utf-8") for path in FUNCTIONS.rglob("*.py"))


class _Reader:
    def __init__(self, modules: Sequence[ast.Module]) -> None:
        nodes = [node for module in modules for node in ast.walk(module)]
        self._calls = [node for node in nodes if isinstance(node, ast.Call)]
        self._parameters = _parameters(nodes)
        self._tables = {
            target.id: node.value
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def of(self, module: ast.Module) -> Iterator[str]:
        for node, function in _with_function(module):
            match node:
                case ast.Call():
                    for name in _NAMES:
                        for value in self._given(node, name):
                            yield from self._texts(value, function)
                case ast.Assign(targets=[target]):
                    for name, value in _pairs(target, node.value):
                        if name in _NAMES:
                            yield from self._texts(value, function)
                case ast.Return(value=ast.expr() as value) if _says_why(function):
                    yield from self._texts(value, function)

    def _given(self, call: ast.Call, parameter: str) -> Iterator[ast.expr]:
        yield from (each.value for each in call.keywords if each.arg == parameter)
        parameters = self._parameters.get(_name(call.func), [])
        if parameter in parameters[: len(call.args)]:
            yield call.args[parameters.index(parameter)]

    def _texts(self, value: ast.expr, function: ast.FunctionDef | None) -> Iterator[str]:
        match value:
            case ast.Constant(value=str(text)):
                yield text
            case ast.IfExp():
                yield from self._texts(value.body, function)
                yield from self._texts(value.orelse, function)
            case ast.BoolOp(values=values) | ast.Tuple(elts=values):
                for each in values:
                    yield from self._texts(each, function)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="get")):
                known = self._tables.get(table)
                for each in (*value.args[1:], *(known.values if known else ())):
                    yield from self._texts(each, function)
            case ast.JoinedStr(values=[ast.FormattedValue(value=ast.Name(id=name)), rest]):
                assert function is not None
                for call in self._calls:
                    if _name(call.func) == function.name:
                        for given in self._given(call, name):
                            for text in self._texts(given, None):
                                yield text + "".join(self._texts(rest, None))


def _with_function(module: ast.Module) -> Iterator[tuple[ast.AST, ast.FunctionDef | None]]:
    waiting: list[tuple[ast.AST, ast.FunctionDef | None]] = [(module, None)]
    while waiting:
        node, function = waiting.pop()
        yield node, function
        inside = node if isinstance(node, ast.FunctionDef) else function
        waiting += [(child, inside) for child in ast.iter_child_nodes(node)]


def _parameters(nodes: Iterable[ast.AST]) -> Mapping[str, Sequence[str]]:
    """Of functions and classes by name; a class without an `__init__` takes its fields."""
    parameters: dict[str, Sequence[str]] = {}
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) if name != "__init__":
                parameters[name] = _arguments(node)
            case ast.ClassDef(name=name):
                made = [each for each in node.body if _is_init(each)]
                fields = [
                    each.target.id
                    for each in node.body
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
                ]
                parameters[name] = _arguments(made[0]) if made else fields
    return parameters


def _is_init(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _arguments(node: ast.AST) -> list[str]:
    assert isinstance(node, ast.FunctionDef)
    return [each.arg for each in node.args.args if each.arg not in ("self", "cls")]


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for each_target, each_value in zip(target.elts, value.elts, strict=False):
            yield from _pairs(each_target, each_value)
    yield _name(target), value


def _says_why(function: ast.FunctionDef | None) -> bool:
    returns = None if function is None else function.returns
    return returns is not None and ast.unparse(returns) in _SAYS_WHY


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
