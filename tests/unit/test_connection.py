"""Proxies and certificates come from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from yarl import URL

from flowbot.errors import InputError
from flowbot.models.connection import certificates, proxy_of


def test_proxies_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert proxy_of(URL("https://api.openai.com/v1")) == "http://proxy.example:3128"
    assert proxy_of(URL("http://host.example/v1")) is None
    for own in ("https://localhost/v1", "https://127.0.0.1:8000/v1", "https://[::1]/v1"):
        assert proxy_of(URL(own)) is None
    monkeypatch.setenv("no_proxy", "openai.com")
    assert proxy_of(URL("https://api.openai.com/v1")) is None
    monkeypatch.setenv("https_proxy", "socks5://proxy.example:1080")
    assert proxy_of(URL("https://host.example/v1")) is None


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_of_the_environment_are_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        certificates({name: str(tmp_path / "missing.pem")})
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(InputError, match=name):
        certificates({name: str(tmp_path / "bad.pem")})
    assert certificates({name: str(tmp_path)}).check_hostname
