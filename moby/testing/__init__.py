"""Conformance suites of the contracts; for authors of parts, with pytest."""

import pkgutil

import pytest

# A suite's failures then show the values that were compared, as a test's own do.
pytest.register_assert_rewrite(*(f"{__name__}.{each.name}" for each in pkgutil.iter_modules(__path__)))
