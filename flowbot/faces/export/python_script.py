"""A workflow as one Python program that stands alone: the openai SDK and the standard library, nothing of FlowBot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from flowbot.errors import InputError
from flowbot.faces.export.kinds import annotation, annotation_of, source_of
from flowbot.faces.export.literals import Group, Node, call, laid, quoted, returned, table
from flowbot.faces.export.parts import needed
from flowbot.faces.export.steps_code import Place, Writer
from flowbot.models.providers import provider_of, providers
from flowbot.task.task import ModelSpec
from flowbot.workflow.blocks import Step, Vote
from flowbot.workflow.graph import Workflow, plain_workflow
from flowbot.workflow.steps import Call, CodeStep, ToolStep
from flowbot.workflow.tools import CalculatorSpec

SERVED = "http://127.0.0.1:8080/v1"  # where a server of a model file listens: llama-server's own


def python_script(workflow: Workflow) -> str:
    """Return the program; raise `InputError` for what has no form there, with the steps by name.

    It sends the requests that FlowBot sends and gives the same output. Texts of the workflow stand in it as literals.
    """
    _check(workflow)
    writer = Writer(workflow)
    inputs = [writer.names.value(name) for name in workflow.inputs]
    writer.steps(workflow.steps, Place(dict(workflow.inputs)))
    types = [f"{name}: {annotation(kind)}" for name, kind in zip(inputs, workflow.inputs.values(), strict=True)]
    run = [
        laid("", Group("async def run(", [("", each) for each in types], ")"), f" -> {_output(workflow)}:"),
        '    """Return the output for one set of inputs."""',
        *writer.flow(workflow, [workflow.output], False, 4),
        returned([writer.names.value(workflow.output)]),
    ]
    read = laid("INPUTS = ", table({name: source_of(kind) for name, kind in workflow.inputs.items()}))
    tools = any(each.tools for each in workflow.calls)
    late = [*(_model(constant, name, tools) for name, constant in writer.models.items()), *writer.late, read]
    functions = [*writer.functions, "\n".join(run)]
    main = 'def main() -> None:\n    start(run, INPUTS)\n\n\nif __name__ == "__main__":\n    main()'
    imports, parts = needed("\n".join([*writer.constants, *functions, *late, main]))
    prompts = "# " + "-" * 70 + " prompts\n\n" + "\n\n".join(writer.constants)
    sections = [
        f"{_head(workflow)}\n\nfrom __future__ import annotations\n\n{imports}\n\n{prompts}",
        "# " + "-" * 72 + " steps\n\n\n" + "\n\n\n".join(functions),
        "# " + "-" * 59 + " how models are asked\n\n" + parts,
        "# " + "-" * 58 + " models, inputs, main\n\n" + "\n".join(late),
        main,
    ]
    return "\n\n\n".join(sections) + "\n"


def _output(workflow: Workflow) -> str:
    return annotation_of([workflow.output_type])


def _head(workflow: Workflow) -> str:
    name = "".join(char if char.isalnum() or char in " _-.:,=" else "_" for char in workflow.name)[:60].strip()
    given = " ".join(f"{each}=..." for each in workflow.inputs)
    plain = ", ".join(f'"{each}": ...' for each in workflow.inputs)
    lines = [
        f"The workflow {name or 'without a name'} ({workflow.id}) as one program.",
        "",
        f"    python FILE {given}",
        f"    echo '{{{plain}}}' | python FILE",
        "",
        "It needs Python 3.11 and the package openai, prints the output, and ends with 1",
        "where it fails. The models, and the variables that hold their keys, stand at its",
        "end. Exported by FlowBot.",
    ]
    return '"""' + "\n".join(lines) + '\n"""'


# ------------------------------------------------------------------ models


def _model(constant: str, name: str, tools: bool) -> str:
    """Return the constant of a model: what the table of providers says of it, of tools only where there are any."""
    spec = ModelSpec(name=name)
    known = providers().get(spec.provider)
    address = f"{re.sub('[^A-Z0-9]', '_', spec.provider.upper())}_BASE_URL"
    if known is None:
        if spec.provider != "local":
            provider_of(spec)  # says what is known
        plain: dict[str, Node] = {"base_url": quoted(SERVED), "address": quoted("LOCAL_BASE_URL")}
        return laid(f"{constant} = ", call("Model", quoted(spec.model), **plain))
    plain = {"base_url": quoted(known.base_url), "address": quoted(known.address or address)}
    if known.keys:
        plain["keys"] = f"({', '.join(map(quoted, known.keys))}{',' * (len(known.keys) == 1)})"
    plain |= {"local": "True"} if known.local else {}
    plain |= {"path": quoted(known.path)} if known.path else {}
    plain |= {"cap": quoted(known.cap)} if known.cap != "max_tokens" else {}
    plain |= {"mode": quoted(known.mode)} if known.mode != "schema" else {}
    if known.no_temperature and re.search(known.no_temperature, spec.model):
        plain["temperature"] = "False"
    plain |= {"alone": "True"} if tools and known.tools == "alone" else {}
    return laid(f"{constant} = ", call("Model", quoted(spec.model), **plain))


# ------------------------------------------------------------------ what has no form


def _check(workflow: Workflow) -> None:
    """Refuse what has no form in a program that stands alone, in one error that names every step of it."""
    refused: dict[str, list[str]] = {}
    for step in workflow.all_steps:
        for reason in _reasons(step, workflow):
            refused.setdefault(reason, []).append(f"'{step.id}'")
    if refused:
        told = "; ".join(f"{_steps(ids)} {reason}" for reason, ids in refused.items())
        raise InputError(
            f"the workflow has no form as a Python program: {told}",
            workflow.name,
            "run it with FlowBot (flowbot run, flowbot serve, open_workflow), or export it to prompts or mermaid",
        )
    unnamed = next((call.id for call in workflow.calls if not (call.model or workflow.model)), None)
    if unnamed is not None:
        raise InputError(f"step '{unnamed}' has no model", workflow.name, "give --model provider:name")
    try:
        json.dumps(plain_workflow(workflow), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError("a text of the workflow holds half a character, which no file takes", workflow.name) from None


def _steps(ids: Sequence[str]) -> str:
    return f"step {ids[0]}" if len(ids) == 1 else f"steps {', '.join(ids)}"


def _reasons(step: Step, workflow: Workflow) -> Iterator[str]:
    """Yield why a step has no form, in words that follow its name."""
    if isinstance(step, CodeStep):
        yield "(code): code that a model may have written runs in FlowBot's sandbox only"
    tools = workflow.tools
    if isinstance(step, ToolStep) and not isinstance(tools[step.tool], CalculatorSpec):
        yield f"(tool): the tool '{step.tool}' ({tools[step.tool].kind}) needs FlowBot"
    if isinstance(step, Call) and step.tools:
        if named := [name for name in step.tools if not isinstance(tools[name], CalculatorSpec)]:
            yield f"(call): the tools that it may use ({', '.join(named)}) need FlowBot"
        elif (step.model or workflow.model or "").startswith("local:"):
            yield "(call): a local: model is told of tools in FlowBot's words; name a server, --model llamacpp:NAME"
    if isinstance(step, Vote) and step.tool is not None:
        yield f"(vote by tests): the tool '{step.tool}' needs FlowBot"
