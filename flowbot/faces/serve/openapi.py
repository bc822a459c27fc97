"""The OpenAPI document of what is served, from the workflows' own fields, and a page of it."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

import flowbot
from flowbot.faces.serve.contract import Contract
from flowbot.faces.serve.service import Service
from flowbot.workflow.fields import FieldType, Json

NULLABLE = {"type": ["string", "null"]}
ERROR = {
    "type": "object",
    "required": ["message", "type", "param", "code"],
    "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "param": NULLABLE, "code": NULLABLE},
}
USAGE = {
    "type": "object",
    "required": ["calls", "input_tokens", "output_tokens", "usd", "seconds"],
    "properties": {
        "calls": {"type": "integer"},
        "input_tokens": {"type": "integer"},
        "output_tokens": {"type": "integer"},
        "usd": {"type": ["number", "null"], "description": "null where a price is not known"},
        "seconds": {"type": "number"},
    },
}
FAILURES = {
    400: "The body is no JSON.",
    401: "The token is missing or wrong.",
    402: "The run, or the day, would take more than its budget.",
    403: "Not asked from this machine (a server without a token).",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "The inputs do not fit, or a step of the workflow failed on them.",
    429: "Too many requests at once; Retry-After says when to try again.",
    500: "An error of the server's own.",
    502: "The model's endpoint fails.",
    503: "The server is stopping or not ready.",
    504: "The run took too long.",
}
READING = (401, 403, 500)
REF = "#/components/schemas/"


def document(service: Service) -> dict[str, Json]:
    """Return the OpenAPI document."""
    paths: dict[str, Json] = {}
    names = list(service.desk.openers)
    for name in names:
        contract = service.desk.named(name).contract
        for prefix in ("", f"/{name}") if len(names) == 1 else (f"/{name}",):
            paths |= _runs(prefix, name, contract, service.settings.limits.rows)
    paths |= _chat(service, names) | _rest()
    schemas = {"Error": {"type": "object", "required": ["error"], "properties": {"error": ERROR}}, "Usage": USAGE}
    made: dict[str, Json] = {
        "openapi": "3.1.0",
        "info": {"title": ", ".join(names), "version": flowbot.__version__},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if service.settings.token:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
        for path in ("/healthz", "/readyz"):
            paths[path]["get"]["security"] = []
    return made


def _runs(prefix: str, name: str, contract: Contract, rows: int) -> dict[str, Json]:
    result = _object(output=contract.gives, usage={"$ref": f"{REF}Usage"})
    failed = _object(error=ERROR)
    row = json.dumps(contract.takes, ensure_ascii=False)
    inputs: dict[str, Json] = {
        "type": "array",
        "maxItems": rows,
        "items": {},
        "description": f"each a set of inputs: {row}",
    }
    batch: dict[str, Json] = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {"inputs": inputs},
    }
    results = _object(results={"type": "array", "items": {"anyOf": [result, failed]}}, usage={"$ref": f"{REF}Usage"})
    tag = prefix.strip("/").replace("/", "_") or "root"
    return {
        f"{prefix}/run": {"post": _posted(f"run_{tag}", f"Run {name} on one set of inputs.", contract.takes, result)},
        f"{prefix}/batch": {
            "post": _posted(f"batch_{tag}", f"Run {name} on many; one that fails has its error.", batch, results)
        },
    }


def _chat(service: Service, names: list[str]) -> dict[str, Json]:
    part = _object(type={"const": "text"}, text={"type": "string"})
    message: dict[str, Json] = {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": {"enum": ["user"]},
            "content": {"anyOf": [_content(service), {"type": "array", "minItems": 1, "items": part}]},
        },
    }
    single = [service.desk.named(name).contract for name in names]
    if not all(_takes_any_text(contract) for contract in single):
        message["properties"]["content"] = _content(service)
    asked = {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"enum": names},
            "messages": {"type": "array", "minItems": 1, "items": message},
            "stream": {"type": "boolean"},
            "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
        },
    }
    said = {"type": "object", "required": ["id", "object", "created", "model", "choices", "usage"]}
    post = _posted("chat", "Ask a workflow as a model: its input is the last user message.", asked, said)
    post["responses"]["200"]["content"]["text/event-stream"] = {"schema": _object(data={"type": "string"})}
    post["responses"]["404"] = _failure("There is no such model.")
    listed = _object(object={"const": "list"}, data={"type": "array", "items": {"type": "object"}})
    return {
        "/v1/chat/completions": {"post": post},
        "/v1/models": {"get": _got("models", "The workflows as models.", listed)},
    }


def _takes_any_text(contract: Contract) -> bool:
    return len(contract.inputs) == 1 and next(iter(contract.inputs.values())).kind == "text"


def _content(service: Service) -> dict[str, Json]:
    """Say what the last user message holds, where all workflows agree on it."""
    wants: list[str] = []
    for served in service.desk.served.values():
        inputs: Mapping[str, FieldType] = served.contract.inputs
        one = len(inputs) == 1 and next(iter(inputs.values())).kind not in ("list", "json")
        what = f"the text of '{next(iter(inputs))}'" if one else f"JSON: {json.dumps(served.contract.takes)}"
        wants.append(f"{served.name}: {what}")
    return {"type": "string", "description": "; ".join(wants)}


def _rest() -> dict[str, Json]:
    status = _object(status={"type": "string"})
    ready = _got("ready", "Whether requests are answered.", {"type": "object", "required": ["status"]})
    ready["responses"]["503"] = _failure(FAILURES[503])
    metrics = _got("metrics", "Counters, as Prometheus reads them.", {"type": "string"})
    metrics["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/healthz": {"get": _got("health", "Whether the server lives.", status)},
        "/readyz": {"get": ready},
        "/metrics": {"get": metrics},
    }


def _object(**properties: Json) -> dict[str, Json]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _posted(identity: str, summary: str, takes: Json, gives: Json) -> dict[str, Json]:
    got = _got(identity, summary, gives)
    body = {"required": True, "content": {"application/json": {"schema": takes}}}
    failures = {str(status): _failure(what) for status, what in FAILURES.items()}
    return got | {"requestBody": body, "responses": got["responses"] | failures}


def _got(identity: str, summary: str, gives: Json) -> dict[str, Json]:
    good = {"description": "OK", "content": {"application/json": {"schema": gives}}}
    failures = {str(status): _failure(FAILURES[status]) for status in READING}
    return {"operationId": identity, "summary": summary, "responses": {"200": good, **failures}}


def _failure(what: str) -> dict[str, Json]:
    return {"description": what, "content": {"application/json": {"schema": {"$ref": f"{REF}Error"}}}}


def page(service: Service) -> bytes:
    """Return the document as a page for people."""
    plain = document(service)
    parts: list[str] = []
    for path, methods in plain["paths"].items():
        for method, told in methods.items():
            parts.append(
                f"<h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(told['summary'])}</p>"
            )
            if "requestBody" in told:
                parts.append(_shown("takes", told["requestBody"]["content"]["application/json"]["schema"]))
            for kind, each in told["responses"]["200"]["content"].items():
                parts.append(_shown(f"gives {kind}", each["schema"]))
    title = html.escape(plain["info"]["title"])
    head = f"<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{title}</title>"
    style = (
        "<style>body{font:16px/1.5 system-ui;max-width:52rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto}</style>"
    )
    link = "<p>For programs: <a href='openapi.json'>openapi.json</a></p>"
    return "".join([head, style, f"<h1>{title}</h1>", link, *parts]).encode("utf-8", "replace")


def _shown(what: str, schema: Json) -> str:
    text = html.escape(json.dumps(schema, indent=1, ensure_ascii=False))
    return f"<details><summary>{html.escape(what)}</summary><pre>{text}</pre></details>"
