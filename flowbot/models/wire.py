"""The wire: one client of OpenAI's chat completions for every provider in the table."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Mapping
from dataclasses import replace

import aiohttp
from yarl import URL

from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.models.answers import Sent, read, refusal
from flowbot.models.body import MODES, TOOLS, Form, body_of, form_of, input_estimate
from flowbot.models.connection import open_session, proxy_of
from flowbot.models.pace import Pace
from flowbot.models.patience import Fault, Patience, persist
from flowbot.models.price import price_of
from flowbot.models.providers import Endpoint, Mode
from flowbot.models.secrets import scrub, secrets
from flowbot.models.streaming import Heard, Told, assembled, is_stream
from flowbot.models.toolwords import in_words, read_words
from flowbot.task.task import ModelSpec

LARGE = 2**20  # bytes from which on aiohttp wants a body in pieces


class Wire:
    """A model behind HTTP: every request ends in a reply, an example's failure or `EndpointError`, never in between.

    Failures of the endpoint are borne as long as `patience` says. A request whose form is refused (its schema, its
    tools, its temperature, the name of its length bound) is sent in another form at once, and that form is remembered.
    `mode` may be set to what a journal remembers. Close it in the loop that used it.
    """

    def __init__(
        self,
        spec: ModelSpec,
        endpoint: Endpoint,
        *,
        concurrency: int = 16,
        patience: Patience | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.spec, self.endpoint = spec, endpoint
        self.patience = patience or Patience()
        self.pace = pace or Pace(concurrency, spec.rpm, spec.tpm)
        self.price = price_of(spec)
        self.form = form_of(spec, endpoint)
        self._url = URL(endpoint.url)
        self._proxy = proxy_of(self._url)
        self._session: aiohttp.ClientSession | None = None
        self._reached = False

    @property
    def mode(self) -> Mode:
        """How JSON is asked for: `schema`, `json` or `text`; set it to what a journal remembers."""
        return self.form.mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self.form = replace(self.form, mode=mode)

    async def complete(self, request: Request) -> Reply:
        """Return the reply to a request. Raises `EndpointError` where the endpoint fails for good."""
        try:
            try:
                return await self._send(request, 0)
            except Fault as fault:
                first = fault
            return await persist(
                first, lambda before: self._send(request, before), self.patience, lambda: self._reached
            )
        except Fault as fault:
            raise self._error(fault) from fault

    async def stream(self, request: Request, told: Told) -> Reply:
        """Return the reply to a request for plain text, telling its text as it comes where the endpoint streams.

        What breaks before any text is sent again as `complete` sends it, in one piece. Raises `EndpointError`.
        """
        heard = Heard(told)
        try:
            return await self._send(request, 0, heard)
        except Fault as fault:
            if heard.begun:
                raise self._error(fault) from fault
        return await self.complete(request)

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(self, request: Request, before: int, heard: Heard | None = None) -> Reply:
        """Send once; `heard` is told the text of a stream. Raises `Fault`."""
        pace = self.pace
        tokens = input_estimate(request) if pace.tpm is not None else 0
        ticket = await pace.enter(tokens, resend=before > 0)
        form = self.form
        asked = in_words(request) if request.tools and form.tools == "words" else request
        started = time.perf_counter()
        try:
            status, headers, payload = await self._post(body_of(self.spec, asked, form, heard is not None), heard)
        except Fault as fault:
            fault.seconds = time.perf_counter() - started
            raise
        finally:
            pace.leave()
        sent = Sent(asked, form, before, self.price, time.perf_counter() - started)
        if 200 <= status < 300:
            pace.succeeded()
            reply = read(payload, sent)
        else:
            reply = self._refused(sent, ticket, refusal(status, headers, payload, sent))
        if pace.tpm is not None:
            pace.booked(reply.usage.tokens - tokens)
        return reply if asked is request else read_words(request, reply)

    async def _post(self, body: bytes, heard: Heard | None) -> tuple[int, Mapping[str, str], bytes]:
        session = self._session
        if session is None:
            session = self._session = open_session(
                self._url, self.endpoint.headers, self.spec.timeout, self.patience.connect_seconds
            )
        data = body if len(body) < LARGE else io.BytesIO(body)
        try:
            async with session.post(self._url, data=data, allow_redirects=False, proxy=self._proxy) as response:
                self._reached = True
                if heard is not None and is_stream(response):
                    return response.status, response.headers, await assembled(response, heard)
                return response.status, response.headers, await response.read()
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> Fault:
        """Say what a failed connection is; `TimeoutError` is an `OSError` too."""
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return Fault("final", f"its certificate is not trusted; SSL_CERT_FILE may name another authority ({error})")
        if isinstance(error, aiohttp.InvalidURL):
            return Fault("final", f"its URL is not valid: {error}")
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return Fault("broken" if error.status >= 500 else "final", f"the proxy answered HTTP {error.status}")
        if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            return Fault("unreached", f"it cannot be reached ({reason})")
        if isinstance(error, TimeoutError):
            return Fault("broken", f"no whole reply within {self.spec.timeout:g} seconds")
        return Fault("broken", f"the connection broke ({reason})")

    def _refused(self, sent: Sent, ticket: int, answer: Reply | tuple[Fault, Form]) -> Reply:
        """Learn from an answer with an error status: pace, form. Raises its `Fault`."""
        if isinstance(answer, Reply):
            return answer
        fault, form = answer
        if fault.status == 429:
            self.pace.refused(ticket)
        if fault.kind in ("busy", "broken") and fault.asked and fault.asked <= self.patience.busy_seconds:
            self.pace.hold(fault.asked)
        if form != sent.form:
            self._learn(sent.form, form)
        raise fault

    def _learn(self, sent: Form, wanted: Form) -> None:
        """Take over what one refusal taught; others of the same round may have taught more already."""
        now = self.form
        weaker = MODES.index(wanted.mode) > MODES.index(now.mode)
        otherwise = TOOLS.index(wanted.tools) > TOOLS.index(now.tools)
        self.form = Form(
            mode=wanted.mode if weaker else now.mode,
            cap=wanted.cap if wanted.cap != sent.cap else now.cap,
            temperature=now.temperature and wanted.temperature,
            tools=wanted.tools if otherwise else now.tools,
        )

    def _error(self, fault: Fault) -> EndpointError:
        note = ""
        if fault.status in (401, 403) and self.endpoint.key_note:
            note = f"; {self.endpoint.key_note}"
        elif fault.status == 404 and self._url.path == "/chat/completions":
            note = "; the base URL has no path, and most end in /v1"
        text = f"{self.spec.name} at {self.endpoint.address}: {fault.reason}{note}"
        return EndpointError(scrub(text, secrets() | self.endpoint.secrets))
