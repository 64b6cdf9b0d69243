"""What all tests share."""

import re
import time

import pytest
from hypothesis import settings

# hypothesis' own limit of 200 ms for an example would be a timed test, which a busy machine fails.
settings.register_profile("fieldline", deadline=None)
settings.load_profile("fieldline")

NUMBER = re.compile(r"\d{10,}")
DAY_S = 86_400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test whose name tells the time of its collection.

    Each worker of `make check` collects by itself, and all must find the same names: such a test
    fails them all, but only when a second ends between two collections.
    """
    now_s = time.time()
    for item in items:
        for number in NUMBER.findall(item.nodeid):
            near = abs(int(number[:10]) - now_s) < DAY_S
            # A number that the file itself carries is the same tomorrow.
            if near and number not in item.path.read_text().replace("_", ""):
                raise pytest.UsageError(
                    f"{item.nodeid} carries {number}, which is about now: give its parameters names"
                    " with ids=[…], since another worker of pytest finds another number"
                )
