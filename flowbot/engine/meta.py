"""The meta model: who writes gradients and updates, from the meta prompts, in bounded context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from flowbot.engine.chat import Ask, CheckFailed, Gives, Sections, exchange
from flowbot.engine.ports import Message, Request, Session
from flowbot.workflow.fields import Json, as_text

Check = Callable[[Mapping[str, Json]], str]  # what is wrong with the values, empty where nothing is


@dataclass(frozen=True)
class Meta:
    """How meta calls are made: by which model, with which prompts, and which draw they belong to.

    `clip` bounds each section and `max_tokens` each reply, whatever the length of traces.
    """

    session: Session
    model: str
    prompts: Mapping[str, str]
    draw: str = ""
    temperature: float = 0.0
    max_tokens: int | None = 1024
    clip: int = 6000
    description: str = ""

    def at(self, draw: str) -> Meta:
        """Return the same meta model at another draw."""
        return replace(self, draw=draw)

    async def ask(
        self, purpose: str, sections: Sections, gives: Gives, check: Check | None = None, prompt: str = ""
    ) -> Mapping[str, Json] | None:
        """Make one meta call; return its values, or None where no usable reply came.

        `check` says what is wrong with values that fit their types; its words go back to the model once, as the one
        repair a reply may get. `prompt` names the meta prompt where a purpose has several.
        """
        cut = [(label, clipped(as_text(value), self.clip)) for label, value in sections]
        if self.description:
            cut = [("task", clipped(self.description, self.clip)), *cut]
        ask = _Checked(self.prompts[prompt or purpose], cut, gives, check=check)
        template = Request(
            self.model,
            _NONE,
            purpose=purpose,
            schema_name=purpose,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            draw=self.draw,
        )
        answer = await exchange(ask, self.session, template)
        return answer.values


@dataclass(frozen=True)
class _Checked(Ask):
    """A meta call: always asked for as JSON, and checked for more than its types."""

    check: Check | None = None

    @property
    def plain(self) -> bool:
        return False

    def parse(self, text: str) -> dict[str, Json]:
        values = super().parse(text)
        problem = self.check(values) if self.check else ""
        if problem:
            raise CheckFailed(problem)
        return values


def clipped(text: str, limit: int) -> str:
    """Return the text within `limit` characters: its beginning and its end, with a mark between."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    return f"{text[:head]}\n[... {len(text) - limit} characters left out ...]\n{text[len(text) - (limit - head) :]}"


_NONE: tuple[Message, ...] = ()
