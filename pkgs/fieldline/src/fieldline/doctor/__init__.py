"""Checks that are run before a fault and after one, each with what to do.

A check is a function of a `Context` that gives findings; `registry` has them all. Checks are data
for `command`, which runs them at once and shows them. What cannot be checked from a host is shown
as skipped, with the reason, and never left out.
"""

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Check, Finding, Report, Verdict
from fieldline.doctor.registry import CHECKS
from fieldline.doctor.run import examine

__all__ = ["CHECKS", "Check", "Context", "Finding", "Report", "Verdict", "examine"]
