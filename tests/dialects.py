"""What other optimisers send to a planted world: DSPy's chats, GEPA's reflections, TextGrad's gradients and updates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowbot.engine.chat import Ask, schema_of
from flowbot.engine.ports import Request
from flowbot.models.scripted import World
from flowbot.models.scripted.dialects import answer
from flowbot.models.scripted.orders import notes_in
from flowbot.models.scripted.world import META, MODEL
from flowbot.workflow.fields import parse_type
from tests.unit.test_scripted import conventions

TASK, PLANTED_META = (name.partition(":")[2] for name in (MODEL, META))
MARKS = {"marks": "list[str]"}
GIVES = {"marks": parse_type("list[text]")}


def said(world: World, model: str, *contents: str) -> str:
    """Return the reply to messages: system, user, assistant, user and so on."""
    roles = ("system", *("user", "assistant") * len(contents))
    messages = tuple({"role": role, "content": text} for role, text in zip(roles, contents, strict=False))
    return answer(world, Request(model, messages, purpose="task")).text


def own(world: World, ask: Ask) -> str:
    schema = None if ask.plain else schema_of(ask.gives)
    return world.answer(Request(MODEL, ask.messages(), purpose="task", schema=schema)).text


# ------------------------------------------------------------------ DSPy's form of message

Values = Mapping[str, Any]


def shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def marked(values: Values) -> str:
    return "\n\n".join(f"[[ ## {name} ## ]]\n{shown(value)}" for name, value in values.items())


def chat(
    instruction: str,
    values: Values,
    outputs: Mapping[str, str],
    demos: Iterable[tuple[Values, Values]] = (),
    as_json: bool = False,
) -> list[str]:
    """Return the contents of the messages that DSPy sends."""
    listed = [
        "\n".join(f"{at}. `{name}` ({kind}): " for at, (name, kind) in enumerate(fields.items(), 1)).strip()
        for fields in (dict.fromkeys(values, "str"), outputs)
    ]
    slots = {name: f"{{{name}}}{note(kind)}" for name, kind in outputs.items()}
    how = "All interactions will be structured in the following way, with the appropriate values filled in."
    inputs = marked({name: f"{{{name}}}" for name in values})
    if as_json:
        parts = [
            *(how, "Inputs will have the following structure:", inputs),
            *("Outputs will be a JSON object with the following fields.", json.dumps(slots, indent=2)),
        ]
        fields = ", then ".join(f"`{name}`{pythonic(kind)}" for name, kind in outputs.items())
        ask = f"Respond with a JSON object in the following order of fields: {fields}."
    else:
        parts = [how, inputs, marked(slots), "[[ ## completed ## ]]"]
        fields = ", then ".join(f"`[[ ## {name} ## ]]`{pythonic(kind)}" for name, kind in outputs.items())
        ask = f"Respond with the corresponding output fields, starting with the field {fields}"
        ask += ", and then ending with the marker for `[[ ## completed ## ]]`."
    objective = "".join(f"\n        {line}" for line in instruction.splitlines())
    system = (
        f"Your input fields are:\n{listed[0]}\nYour output fields are:\n{listed[1]}\n"
        + "\n\n".join(parts)
        + f"\nIn adhering to this structure, your objective is: {objective}"
    )
    turns = [system]
    for read, gave in demos:
        turns += [marked(read), json.dumps(gave, indent=2) if as_json else f"{marked(gave)}\n\n[[ ## completed ## ]]\n"]
    return [*turns, f"{marked(values)}\n\n{ask}"]


def note(kind: str) -> str:
    told = {
        "str": "",
        "bool": "must be True or False",
        "list[str]": 'must adhere to the JSON schema: {"type": "array", "items": {"type": "string"}}',
    }[kind]
    return f"        # note: the value you produce {told}" if told else ""


def pythonic(kind: str) -> str:
    return "" if kind == "str" else f" (must be formatted as a valid Python {kind})"


def fields(reply: str) -> dict[str, str]:
    """Return the fields of a reply, in either form."""
    if reply.startswith("{"):
        return {name: shown(value) for name, value in json.loads(reply).items()}
    assert reply.endswith("[[ ## completed ## ]]")
    parts = re.split(r"^\[\[ ## (\w+) ## \]\]\n?", reply, flags=re.MULTILINE)[1:]
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True) if name != "completed"}


# ------------------------------------------------------------------ what meta requests come to


def at_fault(seed: int = 0, **more: Any) -> tuple[World, str, list[dict[str, str]]]:
    """Return a world, the id of its faulty step, and runs of that step with orders that the fault concerns."""
    world = World("missing_instruction", seed, noise=0.0, **more)
    (step,) = world.planted.blamed
    return world, step, ran(world, step, 1, concerned=True)


def ran(world: World, step: str, count: int, concerned: bool) -> list[dict[str, str]]:
    """Return runs of a step of the start: what it read and gave, what was expected and given in the end."""
    gone = next(each for each in conventions(world).all if each.line == world.planted.rule)
    found: list[dict[str, str]] = []
    for example in world.fresh(200):
        if (gone.mark in example.target) != concerned:
            continue
        text, run = example.inputs["order"], dict[str, str]()
        for call in world.start.calls:
            gives = GIVES if call.id == "write" else {"notes": parse_type("text")}
            gave = own(world, Ask(call.prompt, [("order", text)], gives))
            if call.id == step:
                run = {"read": text, "gave": gave}
            text = gave
        expected, got = json.dumps(example.target), json.dumps(json.loads(text)["marks"])
        right = expected == got
        feedback = "Right." if right else f"Wrong: expected '{expected}', got '{got}'."
        found.append(run | {"said": feedback, "expected": expected, "got": got})
    return found[:count]


def instruction_of(world: World, step: str) -> str:
    return next(call.prompt for call in world.start.calls if call.id == step)


def gepa_asked(instruction: str, runs: Sequence[Mapping[str, str]]) -> str:
    examples = "\n\n".join(
        f"# Example {at}\n## Inputs\n### order\n{run['read']}\n\n## Generated Outputs\n{run['gave']}\n\n"
        f"## Feedback\n{run['said']}\n\n"
        for at, run in enumerate(runs, 1)
    )
    return (
        "I provided an assistant with the following instructions to perform a task for me:\n"
        f"```\n{instruction}\n```\n\n"
        "The following are examples of different task inputs provided to the assistant along with the assistant's "
        "response for each of them, and some feedback on how the assistant's response could be better:\n```\n"
        f"{examples}\n```\n\nYour task is to write a new instruction for the assistant.\n\n"
        "Provide the new instructions within ``` blocks."
    )


def gepa(world: World, instruction: str, runs: Sequence[Mapping[str, str]]) -> str:
    reply = said(world, PLANTED_META, "", gepa_asked(instruction, runs))
    return reply.partition("```")[2].rpartition("```")[0].strip()


def dspy_gepa(world: World, instruction: str, runs: Sequence[Mapping[str, str]], as_json: bool = True) -> str:
    examples = [
        {"Inputs": {"order": run["read"]}, "Generated Outputs": {"notes": run["gave"]}, "Feedback": run["said"]}
        for run in runs
    ]
    values = {"current_instruction": instruction, "examples_with_feedback": examples}
    turns = chat("I provided an assistant.", values, {"new_instruction": "str"}, as_json=as_json)
    return fields(said(world, PLANTED_META, *turns))["new_instruction"]


BACKWARD = "You are part of an optimization system. You are the gradient (feedback) engine. Glossary: <LM_INPUT>: it."
OPTIMISER = "You are part of an optimization system that improves text (i.e., variable). Glossary: <FEEDBACK>: it."


def short(text: str) -> str:
    words = text.split(" ")
    return text if len(words) <= 20 else " ".join([*words[:10], "(...)", *words[-10:]])


def talk(prompt: str, run: Mapping[str, str]) -> str:
    return (
        f"<LM_SYSTEM_PROMPT> {prompt} </LM_SYSTEM_PROMPT>\n\n<LM_INPUT> {run['read']} </LM_INPUT>\n\n"
        f"<LM_OUTPUT> {run['gave']} </LM_OUTPUT>\n\n"
    )


def back(world: World, conversation: str, variable: str, later: str | None) -> str:
    """Return the gradient of a variable, with the feedback on what came of it, or as an evaluation (None)."""
    objective = "<OBJECTIVE_FUNCTION>Your goal is to give feedback and criticism. </OBJECTIVE_FUNCTION>\n\n"
    if later is not None:
        objective = (
            "This conversation is part of a larger system. The <LM_OUTPUT> was later used as response.\n\n"
            "<OBJECTIVE_FUNCTION>Your goal is to give feedback to the variable to address the following feedback on "
            f"the LM_OUTPUT: {later} </OBJECTIVE_FUNCTION>\n\n"
        )
    return said(
        world,
        PLANTED_META,
        BACKWARD,
        "You will give feedback to a variable with the following role: <ROLE> it </ROLE>. Here is a conversation:\n\n"
        f"{conversation}{objective}We are interested in giving feedback to the it for this conversation. Specifically, "
        f"give feedback to the following span of text:\n\n<VARIABLE> {short(variable)} </VARIABLE>\n\nGiven the above "
        "history, describe how the it could be improved to improve the <OBJECTIVE_FUNCTION>. Be creative.\n\n",
    )


def evaluated(run: Mapping[str, str]) -> str:
    return (
        "Function purpose: compares them\n\n<INPUTS_TO_FUNCTION> **Prediction(role: response)**: "
        f"{run['got']}\n\n**Ground truth(role: the right answer)**: {run['expected']} </INPUTS_TO_FUNCTION>\n\n"
        "<OUTPUT_OF_FUNCTION> 0 </OUTPUT_OF_FUNCTION>\n\n"
    )


def step_taken(world: World, instruction: str, feedback: str, conversation: str) -> str:
    reply = said(
        world,
        PLANTED_META,
        OPTIMISER,
        "Here is the role of the variable you will improve: <ROLE>it</ROLE>.\n\nThe variable is the text within the "
        f"following span: <VARIABLE> {short(instruction)} </VARIABLE>\n\nHere is the context and feedback we "
        f"got for the variable:\n\n<CONTEXT>Here is a conversation:\n\n<CONVERSATION>{conversation}</CONVERSATION>\n\n"
        f"Here is the feedback we got for it in the conversation:\n\n<FEEDBACK>{feedback}</FEEDBACK>\n\n</CONTEXT>\n\n"
        "Send the improved variable in the following format:\n\n"
        "<IMPROVED_VARIABLE>{the improved variable}</IMPROVED_VARIABLE>\n\n"
        "Send ONLY the improved variable between the <IMPROVED_VARIABLE> tags, and nothing else.",
    )
    assert reply.startswith("<IMPROVED_VARIABLE>")
    return reply.removeprefix("<IMPROVED_VARIABLE>").removesuffix("</IMPROVED_VARIABLE>")


def textgrad(world: World, instruction: str, runs: Sequence[Mapping[str, str]]) -> str:
    """Go back from the result by way of the calls after the faulty one, whose inputs the notes stand for."""
    run = runs[0]
    on_output = back(world, evaluated(run), run["got"], None)
    if notes := notes_in(run["gave"]):  # a middle call: one layer more for each later one
        later = {"read": notes.text, "gave": run["got"]}
        on_output = back(world, talk("Write.", later), notes.text, on_output)
    on_prompt = back(world, talk(instruction, run), instruction, on_output)
    return step_taken(world, instruction, on_prompt, talk(instruction, run))


def mipro(world: World, instruction: str, runs: Sequence[Mapping[str, str]]) -> str:
    """Propose an instruction for the faulty step out of rows with labels; `runs` are not shown."""
    rows = [f"Example({row}) (input_keys={{'order'}})" for row in world.data(40, 1)["train"]]
    seen = ""
    for begin in range(0, 40, 10):
        values = {"examples": f"[{', '.join(rows[begin : begin + 10])}]"} | (
            {"prior_observations": seen} if seen else {}
        )
        found = fields(said(world, PLANTED_META, *chat("Observe.", values, {"observations": "str"})))["observations"]
        seen += "" if found.startswith("COMPLETE") else found
    summary = fields(said(world, PLANTED_META, *chat("Sum up.", {"observations": seen}, {"summary": "str"})))["summary"]
    (step,) = world.planted.blamed
    module = {"note": "order -> notes", "weigh": "before -> notes", "write": "notes -> marks"}[step]
    return proposed(world, instruction, summary, module)


def proposed(world: World, instruction: str, summary: str, module: str) -> str:
    values = {
        "dataset_description": summary,
        "program_code": "class Chain: ...",
        "program_description": "It finds marks.",
        "module": f"Predict({module.replace(' -> ', ') -> ')}",
        "module_description": "A step.",
        "task_demos": "No task demos provided.",
        "basic_instruction": instruction,
        "tip": "Be creative.",
    }
    turns = chat("Use the information below.", values, {"proposed_instruction": "str"})
    return fields(said(world, PLANTED_META, *turns))["proposed_instruction"]


PEERS = {"gepa": gepa, "dspy-gepa": dspy_gepa, "textgrad": textgrad, "mipro": mipro}
