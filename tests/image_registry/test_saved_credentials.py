"""What `docker login` has saved is found, wherever it keeps it."""

import base64
import json

import pytest

from moby.contracts.image_registry import Credentials
from moby.errors import Corrupt, HostUnfit, Unavailable

AUTH = base64.b64encode(b"me:pass:word").decode()


@pytest.fixture
def saved(tmp_path, monkeypatch, client):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    def with_config(config, server="example.org", helper=None):
        text = config if isinstance(config, str) else json.dumps(config)
        (tmp_path / "config.json").write_text(text)
        if helper is not None:
            program = tmp_path / "docker-credential-ours"
            program.write_text(f"#!/bin/sh\n{helper}\n")
            program.chmod(0o755)
        return client.saved(server)

    return with_config


def test_nothing_is_saved(client, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert client.saved("example.org") is None


def test_a_password(saved):
    assert saved({"auths": {"example.org": {"auth": AUTH}}}) == Credentials("me", "pass:word")
    assert saved({"auths": {"https://example.org/v1/": {"auth": AUTH}}}) == Credentials("me", "pass:word")
    assert saved({"auths": {"other.org": {"auth": AUTH}}}) is None
    assert saved({"auths": {"example.org": {}}}) is None


def test_docker_hubs_name(saved):
    config = {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}}
    assert saved(config, "docker.io") == Credentials("me", "pass:word")


def test_an_identity_token(saved):
    config = {"auths": {"example.org": {"auth": AUTH, "identitytoken": "token"}}}
    assert saved(config) == Credentials("me", "pass:word", "token")


@pytest.mark.parametrize("config", [{"credsStore": "ours"}, {"credHelpers": {"example.org": "ours"}}])
def test_a_helper(saved, config):
    helper = """read server; echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"s\\"}" """
    assert saved(config, helper=helper) == Credentials("example.org", "s")
    helper = """echo '{"Username": "<token>", "Secret": "t"}'"""
    assert saved(config, helper=helper) == Credentials(identity_token="t")
    assert saved(config, helper="echo credentials not found in native keychain; exit 1") is None


@pytest.mark.parametrize("helper", ["echo broken; exit 1", "echo nonsense", "echo '[]'"])
def test_a_helper_that_fails(saved, helper):
    with pytest.raises(Unavailable, match="docker-credential-ours"):
        saved({"credsStore": "ours"}, helper=helper)


def test_a_helper_that_is_not_there(saved):
    with pytest.raises(HostUnfit, match="docker-credential-none is not there"):
        saved({"credsStore": "none"})


def test_a_helper_that_is_no_name(saved):
    with pytest.raises(Corrupt, match="no name of a credential helper"):
        saved({"credsStore": "../../evil"})


@pytest.mark.parametrize("config", ["nonsense", "[]", {"auths": {"example.org": {"auth": "%%%"}}}])
def test_a_config_that_is_none(saved, config):
    with pytest.raises(Corrupt):
        saved(config)
