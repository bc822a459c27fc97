"""Which upstream stands behind a name: an address, a provider's model, or a model in this process."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from flowbot.errors import InputError
from flowbot.faces.meter.call import Answer, Call, Upstream, UpstreamError
from flowbot.faces.meter.forward import KEYS, Forward
from flowbot.faces.meter.hosted import Hosted
from flowbot.models.providers import Provider, provider_of, providers
from flowbot.money import Price
from flowbot.names import nearest
from flowbot.task.task import ModelSpec


class Routed:
    """Several upstreams, chosen by the model's id in the body. No other model is answered."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._upstreams = upstreams

    @property
    def name(self) -> str:
        """The models with their upstreams' names."""
        return "; ".join(f"{model} at {upstream.name}" for model, upstream in sorted(self._upstreams.items()))

    @property
    def samples(self) -> bool:
        """Whether one of them draws its replies itself."""
        return any(upstream.samples for upstream in self._upstreams.values())

    @property
    def ids(self) -> list[str]:
        """The ids of the models."""
        return list(self._upstreams)

    def price(self, model: str) -> Price | None:
        """Return the price that the model's upstream knows."""
        return self._upstreams[model].price(model) if model in self._upstreams else None

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncGenerator[Answer]:
        """Send a call to its model's upstream."""
        upstream = self._upstreams.get(call.model)
        if upstream is None:
            known = ", ".join(self.ids)
            said = f"there is no model '{call.model}' here{nearest(call.model, self.ids)} (models: {known})"
            raise UpstreamError(said, "model_not_found", 404)
        async with upstream.send(call) as answer:
            yield answer

    async def models(self, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the models by their ids."""
        return [{"id": name, "object": "model", "created": 0, "owned_by": "flowbot"} for name in self.ids]

    async def close(self) -> None:
        """Close each upstream once."""
        for upstream in {id(each): each for each in self._upstreams.values()}.values():
            await upstream.close()


def upstream_of(specs: Iterable[ModelSpec], base_url: str | None = None, key_env: str | None = None) -> Routed:
    """Return what answers these models: those of `local` in this process, others at their provider or `base_url`.

    Of a spec for a provider its address, headers and timeout are heeded; what a call sends is the client's own. Raises
    `InputError` for an unknown provider, a missing key or model file, and for two models of one id.
    """
    from flowbot.models.shelf import open_shelf

    found: dict[str, Upstream] = {}
    here: list[ModelSpec] = []
    for spec in specs:
        if spec.model in found or any(spec.model == each.model for each in here):
            raise InputError(f"two models have the id '{spec.model}'", spec.name, "serve them by two meters")
        if spec.provider == "local":
            here.append(spec)
        else:
            found[spec.model] = _at_provider(spec, base_url, key_env)
    if here:
        shelf = open_shelf(here, None, 1)
        hosted = Hosted({spec.model: shelf.models[spec.name] for spec in here}, shelf.close)
        found |= dict.fromkeys((spec.model for spec in here), hosted)
    return Routed(found)


def upstream_to(url: str, key_env: str | None = None) -> Forward:
    """Return the upstream at an address. A provider's key goes to the provider's own host, another key only where
    `key_env` names its variable; raises `InputError` for a bad URL or a variable that is not set."""
    parts = urlsplit(url)
    provider = next((each for each in providers().values() if _is_at(each, parts.scheme, parts.netloc)), None)
    key = _key(key_env) if key_env else _own_key(provider)
    header = {"api-key": key} if provider is not None and provider.auth == "api-key" and key else None
    return Forward(url, "" if header else key, auth=header, provider=provider.name if provider else "")


def _at_provider(spec: ModelSpec, base_url: str | None, key_env: str | None) -> Forward:
    environ = dict(os.environ)
    if key_env:
        row = providers().get(spec.provider)
        environ |= dict.fromkeys(row.keys[:1] if row else (), _key(key_env))
    endpoint = provider_of(spec, base_url, environ)
    own = {name for name in endpoint.headers if name.lower() in KEYS or name in spec.headers}
    auth = {name: endpoint.headers[name] for name in own}
    return Forward(endpoint.url, auth=auth, provider=spec.provider, timeout=max(spec.timeout, 600.0))


def _is_at(provider: Provider, scheme: str, netloc: str) -> bool:
    own = urlsplit(provider.base_url or os.environ.get(provider.address, ""))
    return not provider.local and (own.scheme, own.netloc.lower()) == (scheme, netloc.lower())


def _key(name: str) -> str:
    key = os.environ.get(name, "").strip()
    if not key:
        raise InputError(f"the variable {name} is not set", "--key-env", "set it to the key")
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{name} holds characters that a key cannot have", "--key-env", "set it to the bare key")
    return key


def _own_key(provider: Provider | None) -> str:
    names = provider.keys if provider is not None else ()
    return next((_key(name) for name in names if os.environ.get(name, "").strip()), "")
