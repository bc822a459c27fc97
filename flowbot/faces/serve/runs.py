"""The routes of runs: one set of inputs, or many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from flowbot.engine.tasks import together
from flowbot.faces.serve.desk import Served
from flowbot.faces.serve.refusal import Refusal, written
from flowbot.faces.serve.service import Service
from flowbot.faces.serve.visit import Visit
from flowbot.faces.traces import plain_usage
from flowbot.workflow.fields import Json

AT_ONCE = 8  # rows of one batch that are on their way: the others' requests come between them


@dataclass(frozen=True)
class Runs:
    """Answers /run and /batch of one workflow."""

    service: Service
    name: str

    async def run(self, visit: Visit) -> None:
        """Run the workflow on the body's inputs."""
        settings = self.service.settings
        plain = await visit.body(settings.limits.body)
        served = self.service.desk.named(self.name)  # after the body, which may be long in coming
        example = served.contract.example(plain)
        trace = await visit.while_here(self.service.run(served, example, visit))
        if settings.log_content:
            visit.facts |= {"inputs": plain, "output": trace.output}
        await visit.answer(200, written(served.contract.plain(trace)))

    async def batch(self, visit: Visit) -> None:
        """Run the workflow on each of the body's sets of inputs; one that fails has its error in its place."""
        settings = self.service.settings
        rows = _rows(await visit.body(settings.limits.body), settings.limits.rows)
        self.service.check()  # its rows wait all the same
        results = await visit.while_here(self._all(self.service.desk.named(self.name), rows, visit))
        if settings.log_content:
            visit.facts |= {"inputs": rows, "results": results}
        await visit.answer(200, written({"results": results, "usage": plain_usage(visit.usage)}))

    async def _all(self, served: Served, rows: list[Json], visit: Visit) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = [{} for _ in rows]
        left = iter(range(len(rows)))

        async def one_after_another() -> None:
            for number in left:
                try:
                    example = served.contract.example(rows[number])
                    trace = await self.service.run(served, example, visit, anyway=True)
                    results[number] = served.contract.plain(trace)
                except Refusal as refusal:
                    results[number] = {"error": refusal.plain}

        served.enter()
        try:
            await together([one_after_another() for _ in range(min(AT_ONCE, len(rows)))])
        finally:
            served.leave()
        return results


def _rows(plain: Any, most: int) -> list[Json]:
    body = cast(dict[str, Json], plain) if isinstance(plain, dict) else {}
    rows = body.get("inputs")
    if not isinstance(rows, list) or set(body) != {"inputs"}:
        raise Refusal(422, "inputs_do_not_fit", 'wanted is {"inputs": [{...}, ...]}', param="inputs")
    found = cast(list[Json], rows)
    if len(found) > most:
        what = f"a batch holds at most {most} sets of inputs, this one has {len(found)}"
        raise Refusal(422, "batch_too_large", what, param="inputs")
    return found
