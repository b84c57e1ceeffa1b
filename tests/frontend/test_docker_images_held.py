"""Images are removed and pruned once no container that is gone for everybody holds one still."""

import pytest


@pytest.mark.parametrize(
    ("method", "path", "done"), [("DELETE", "/images/box", "remove"), ("POST", "/images/prune", "prune")]
)
def test_what_is_left_of_containers_comes_first(served, monkeypatch, method, path, done):
    calls = served.images.calls
    monkeypatch.setattr(served.containers, "used_images", lambda: calls.append(("used",)) or [])
    assert served.call(method, path).status == 200
    assert [each[0] for each in calls] == ["used", done]
