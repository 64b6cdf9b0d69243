"""Runs checks at once; one that fails or hangs is a finding, and hinders no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from fieldline.doctor.context import Context
from fieldline.doctor.finding import Check, Checked, Finding, Report
from fieldline.errors import FieldlineError

# Every check bounds its own questions; this is against what nobody thought of.
_SECONDS = 15.0


def examine(
    context: Context,
    checks: Sequence[Check],
    *,
    seconds: float = _SECONDS,
    progress: Callable[[str], None] = lambda _text: None,
) -> Report:
    """Run the checks, and give their findings in the checks' order."""
    pool = ThreadPoolExecutor(max(1, len(checks)), thread_name_prefix="check")
    running = {check.name: pool.submit(_run, check, context) for check in checks}
    progress("checking")
    wait(running.values(), seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    found = [Checked(name, _findings(future, seconds)) for name, future in running.items()]
    ok = not any(f.verdict == "failed" for checked in found for f in checked.findings)
    return Report(context.now_ns, context.here.name, ok, found)


def _run(check: Check, context: Context) -> list[Finding]:
    try:
        return list(check.run(context))
    except FieldlineError as error:
        return [Finding(check.name, "failed", error.cause or "see there", error.what_to_do)]
    except Exception as error:  # a check may fail in any way, and the others must be seen
        text = f"the check itself has failed: {type(error).__name__}: {error}"
        return [Finding(check.name, "failed", text, "Report it, with `fieldline doctor --json`.")]


def _findings(future: Future[list[Finding]], seconds: float) -> list[Finding]:
    if future.done():
        return future.result()
    return [Finding("", "skipped", f"it has not ended within {seconds:.0f} s")]
