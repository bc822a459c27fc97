"""The calculator in an exported program: as a step, and as the tool of a call. Nothing is evaluated by Python."""

# pyright: basic
from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any

from flowbot.faces.export.runtime.asking import Model, answered, body_of, said, sent
from flowbot.faces.export.runtime.values import (
    Failed,
    Misfit,
    as_text,
    fit_text,
    object_of,
)

EXPRESSION = {
    "type": "object",
    "properties": {"expression": {"type": "string"}},
    "required": ["expression"],
    "additionalProperties": False,
}
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: a**b,
}


def rounded(value: float, digits: int = 0) -> float:
    return round(value, max(-400, min(400, digits))) if digits else round(value)


NAMED: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "round": rounded,
    "sqrt": math.sqrt,
}


def calculated(expression: Any) -> int | float:
    """Return the value of an arithmetic expression, which is walked, never run."""
    try:
        text = fit_text(expression)
    except Misfit as misfit:
        raise Misfit(f"the argument 'expression': {misfit}") from None
    try:
        if len(text) > 1000:
            raise ValueError("longer than 1000 characters")
        try:
            tree = ast.parse(text.strip().replace("^", "**"), mode="eval")
        except (SyntaxError, RecursionError, MemoryError):
            raise ValueError("not an arithmetic expression") from None
        return value_of(tree.body)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise Failed(f"cannot calculate {text[:80]!r}: {error}") from None


def value_of(node: ast.expr) -> int | float:
    value = walked(node)
    if isinstance(value, complex) or not abs(value) <= 1e300:
        raise ValueError("a result is no number, or too large")
    return value


def walked(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value) if type(value) is not bool:
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -value_of(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return value_of(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            a, b = value_of(left), value_of(right)
            if isinstance(op, ast.Pow) and (abs(b) > 1000 or abs(a) > 1e6):
                raise ValueError("the power is too large")
            return BINARY[type(op)](a, b)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in NAMED:
            return NAMED[name](*(value_of(arg) for arg in args))
    told = "+ - * / // % **, brackets and abs, min, max, round, sqrt are allowed"
    raise ValueError(f"only numbers, {told}")


def calculating(tools: dict[str, str], most: int) -> Callable[..., Awaitable[str]]:
    """Return what sends in the place of `send`: the model may calculate, then answers.

    `tools` are the calculator's names with what each is told to do, `most` the calls.
    """
    left = most

    async def sending(
        model: Model,
        messages: list[dict[str, Any]],
        temperature: float,
        max_tokens: int | None,
        form: dict[str, Any] | None = None,
    ) -> str:
        nonlocal left
        while True:
            alone = model.alone and (model.own or model.local)
            mode = "text" if alone and left else None
            body = body_of(model, messages, temperature, max_tokens, form, mode)
            if left or not alone:
                body["tools"] = [declared(name, does) for name, does in tools.items()]
            if not left and not alone:
                body["tool_choice"] = "none"
            message = await sent(model, body, temperature > 0)
            calls = message.tool_calls or []
            if not calls or not left:
                left = 0  # a reply that does not fit is mended without tools
                return answered(message)
            keys = [f"call{at:05d}" for at, _ in enumerate(calls, most - left + 1)]
            turn: dict[str, Any] = {"role": "assistant", "content": said(message)}
            turn["tool_calls"] = list(map(written, keys, calls))
            messages.append(turn)
            for key, call in zip(keys, calls, strict=True):
                gave = "not called: no tool call is left"
                if left:
                    gave = told(tools, call.function)
                    left -= 1
                messages.append({"role": "tool", "tool_call_id": key, "content": gave})

    return sending


def declared(name: str, does: str) -> dict[str, Any]:
    """Return a tool as a request names it."""
    function = {"name": name, "description": does, "parameters": EXPRESSION}
    return {"type": "function", "function": function}


def told(tools: dict[str, str], function: Any) -> str:
    """Return what a model is told that called a tool: the value, or what is wrong."""
    if function.name not in tools:
        known = ", ".join(tools)
        return f"error: there is no tool '{function.name}' (tools: {known})"
    try:
        given = arguments_of(function.arguments)
        for each in given:
            if each != "expression":
                wrong = f"there is no argument '{each}' (arguments: expression)"
                raise Misfit(wrong)
        if not given:
            raise Misfit("the argument 'expression' is missing")
        return as_text(calculated(given["expression"]))
    except Failed as failed:
        return f"error: {failed}"


def arguments_of(text: str) -> dict[str, Any]:
    return object_of(text.strip(), "the arguments' text") if text.strip() else {}


def written(key: str, call: Any) -> dict[str, Any]:
    """Return a call as later requests show it: sound, however it was written."""
    function = call.function
    try:
        given = arguments_of(function.arguments)
    except Misfit:
        given = {"arguments": function.arguments}
    name = re.sub(r"[^A-Za-z0-9_-]", "_", function.name)[:64] or "unknown"
    sound = {"name": name, "arguments": json.dumps(given, ensure_ascii=False)}
    return {"id": key, "type": "function", "function": sound}
