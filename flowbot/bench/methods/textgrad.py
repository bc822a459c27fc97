"""TextGrad: prompts as variables, textual gradients from the metric's words, updates gated by validation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from flowbot.bench.arena import Arena, Solved, Tuned
from flowbot.bench.flow import Room
from flowbot.bench.methods.peer import Peer, Wall, as_markdown, feedback, package, room_of, unstepped
from flowbot.bench.methods.textgrad_graph import Graph, Ran, function
from flowbot.engine.ports import EndpointError
from flowbot.task.data import Example
from flowbot.task.metrics import Score

BATCH = 3  # examples a step, as in the package's tutorial
STEPS = 12  # steps of the tutorial: three epochs of four; the validation sample leaves room for so many
LEAST = 10  # validation examples, where there are so many
PURPOSE = "The metric of the task: it scores the final output of the system and says what is wrong with it."


@dataclass
class Compiled:
    """The prompts that TextGrad found, run as it runs them."""

    prompts: Mapping[str, str]
    room: Room
    name: str
    graphs: dict[str, Graph] = field(default_factory=dict[str, Graph])
    pool: ThreadPoolExecutor | None = None

    async def solve(self, example: Example, url: str) -> Solved:
        """Run the program on one example, in a thread. Raises `EndpointError`."""
        loop = asyncio.get_running_loop()
        if url not in self.graphs:
            self.graphs[url] = Graph(self.room, url, self.name, loop, self.prompts)
        self.pool = self.pool or ThreadPoolExecutor(self.room.task.concurrency)
        return await loop.run_in_executor(self.pool, self._solved, self.graphs[url], example)

    def _solved(self, graph: Graph, example: Example) -> Solved:
        try:
            ran = graph.run(example)
        except EndpointError:  # of a call with tools
            raise
        except package("openai").OpenAIError as error:
            raise EndpointError(str(error)) from error
        except Exception as error:  # whatever a model says, and whatever the package makes of it
            return Solved(error=f"{type(error).__name__}: {error}")
        return Solved(ran.output, ran.error)

    async def close(self) -> None:
        """Close what the runs opened."""
        if self.pool is not None:
            await asyncio.to_thread(self.pool.shutdown)  # threads that still run may ask the loop
        for graph in self.graphs.values():
            graph.close()
        await self.room.close()


@dataclass
class Descent:
    """One search: a graph with its prompts as variables, and what its last prompts scored on validation."""

    peer: Peer
    graph: Graph
    best: dict[str, str]
    mean: float = 0.0

    def run(self) -> dict[str, str]:
        """Take steps until the budget is spent; return the prompts that were kept last."""
        arena = self.peer.arena
        limit = self.peer.rollouts(self._scored)
        val = self.peer.sample(arena.val, validation_size(limit, len(arena.val)))
        most = STEPS if limit is None else limit // BATCH
        try:
            self.mean = self._mean(val)
            for _, batch in zip(range(most), batches(arena.train, arena.seed), strict=False):
                if self.mean >= 1:
                    if len(val) == len(arena.val):
                        break
                    val, self.mean = list(arena.val), self._mean(arena.val)  # the sample tells nothing any more
                self._step(batch, val)
        except Wall as wall:
            print(f"the budget is spent: {wall}")
        return self.best

    def _step(self, batch: Sequence[Example], val: Sequence[Example]) -> None:
        """Take one step on a batch, and undo it where validation falls."""
        tg, engine = package("textgrad"), self.graph.critic
        optimizer = tg.TextualGradientDescent(parameters=list(self.graph.prompts.values()), engine=engine)
        optimizer.zero_grad()
        tg.sum([self._loss(example) for example in batch]).backward()
        try:
            optimizer.step()
        except IndexError as error:  # a reply without the tags: there is no update
            print(f"an update was lost: {error}")
            self.graph.set(self.best)
            return
        mean = self._mean(val)
        print(f"validation: {mean:.3f} after a step, {self.mean:.3f} before")
        if mean < self.mean:
            self.graph.set(self.best)
        else:
            self.best, self.mean = self.graph.values(), mean

    def _loss(self, example: Example) -> Any:
        """Return the loss of one example: a function of the output whose value is what the metric says."""
        ran = self.graph.run(example)
        score = self._judged(example, ran)
        return function(feedback(example, score), PURPOSE, {"prediction": ran.variable})

    def _judged(self, example: Example, ran: Ran) -> Score:
        return Score(0.0, ran.error) if ran.error else self.peer.score(example, ran.output)

    def _scored(self, example: Example) -> float:
        return self._judged(example, self.graph.run(example)).value

    def _mean(self, examples: Sequence[Example]) -> float:
        """Return the mean score on examples, many at once. Raises `Wall`."""
        with ThreadPoolExecutor(self.peer.arena.task.concurrency) as pool:
            scores = list(pool.map(self._scored, examples))
        return sum(scores) / len(scores)


def batches(train: Sequence[Example], seed: int) -> Iterator[Sequence[Example]]:
    """Yield batches of shuffled examples, epoch after epoch, without end; a smaller rest is left out."""
    order, size = list(train), min(BATCH, len(train))
    deal = random.Random(f"{seed}|textgrad")
    while True:
        deal.shuffle(order)
        for start in range(0, len(order) - size + 1, size):
            yield order[start : start + size]


def validation_size(limit: int | None, examples: int) -> int:
    """Return how many validation examples leave room for the tutorial's steps; all where the budget pays for them.

    A step takes three runs of the batch, about as much for the way back and the updates, and validation.
    """
    if limit is None:
        return examples
    return max(1, min(examples, max(LEAST, limit // (STEPS + 1) - 3 * BATCH)))


@dataclass(frozen=True)
class Textgrad:
    """Textual gradient descent as in the package's prompt optimisation tutorial."""

    name: str = "textgrad"
    packages: tuple[str, ...] = ("textgrad", "openai")

    def cannot(self, arena: Arena) -> str:
        """Say which steps a graph of TextGrad cannot express."""
        shown = next((call.id for call in arena.start.calls if call.demos), "")
        lacking = f"a TextGrad graph has no form for the worked examples in '{shown}'" if shown else ""
        return unstepped(arena.start, "a TextGrad graph") or lacking

    async def tune(self, arena: Arena) -> Tuned:
        """Take steps until the budget is spent, and return the prompts that validation kept."""
        package("textgrad", TEXTGRAD_LOG_DIR=str(arena.scratch / "textgrad"))
        peer = Peer.of(arena)
        graph = Graph(peer.room, arena.url, arena.model, peer.loop, peer=peer)
        try:
            prompts = await peer.away(lambda: Descent(peer, graph, graph.values()).run())
        finally:
            graph.close()
        program = Compiled(prompts, room_of(arena), arena.model)
        return Tuned(program, as_markdown(prompts), ".md", "budget: reached" if peer.reached else "")


METHODS = {"textgrad": Textgrad()}
