"""A candidate of GEPA: texts by component, which are the prompts of a workflow's steps."""

from __future__ import annotations

from collections.abc import Mapping

from flowbot.errors import InputError
from flowbot.faces.importing.call import Imported
from flowbot.names import nearest
from flowbot.workflow.fields import Json, is_list, is_map
from flowbot.workflow.graph import Workflow, WorkflowError
from flowbot.workflow.prompt import loses_frozen

Candidate = Mapping[str, str]


def read_candidate(plain: Json, where: str) -> tuple[Candidate, tuple[str, ...]] | None:
    """Return a candidate and notes; None where the JSON is none. Of a whole result the best one is taken."""
    notes: tuple[str, ...] = ()
    if is_map(plain) and is_list(plain.get("candidates")):
        candidates, scores = plain["candidates"], plain.get("val_aggregate_scores")
        scores = scores if is_list(scores) else ()
        known = [each for each in scores if isinstance(each, int | float)]
        if not candidates or not len(known) == len(scores) == len(candidates):
            raise InputError("the result has no score for each of its candidates", where, "give one candidate alone")
        best = max(range(len(known)), key=known.__getitem__)
        plain, notes = candidates[best], (f"of {len(candidates)} candidates number {best}, scored {known[best]}",)
    elif is_map(plain) and "best_candidate" in plain:
        plain = plain["best_candidate"]
        plain = {"prompt": plain} if isinstance(plain, str) else plain
    if not is_map(plain) or not plain or not all(isinstance(text, str) for text in plain.values()):
        return None
    return {str(name): text for name, text in plain.items()}, notes


def placed(candidate: Candidate, onto: Workflow, where: str, notes: tuple[str, ...] = ()) -> Imported:
    """Return a workflow with a candidate's texts for its prompts; raise `InputError` where a name is no call's."""
    calls = {call.id: call for call in onto.calls}
    if len(candidate) == len(calls) == 1:
        candidate = dict(zip(calls, candidate.values(), strict=True))
    for name, text in candidate.items():
        if name not in calls:
            what = f"the component '{name}' is no call of '{onto.name}'{nearest(name, calls)}"
            raise InputError(f"{what} (calls: {', '.join(calls)})", where)
        if name in onto.frozen_ids:
            raise InputError(f"the component '{name}' would change the step '{name}', which is frozen", where)
        if lost := loses_frozen(calls[name].prompt, text):
            raise InputError(f"the component '{name}': {lost}", where)
    kept = [name for name in calls if name not in candidate]
    notes += (f"the candidate says nothing of {', '.join(kept)}: their prompts stay",) if kept else ()
    try:
        return Imported(onto.with_prompts(candidate), notes, own=True)
    except WorkflowError as error:
        raise InputError(f"it gives no valid workflow: {error}", where) from None
