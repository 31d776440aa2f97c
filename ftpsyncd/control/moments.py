"""Points in time as people write them: ``2h`` (ago), ``2026-01-31``, ``2026-01-31T18:00``, ``2026-01-31T18:00:00Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ftpsyncd.config.units import duration
from ftpsyncd.errors import UsageError

_ago = duration(0, 36500 * 86400.0)
_ISO = re.compile(
    r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
    r"([T ](?!24)[0-9]{2}(:?[0-9]{2}(:?[0-9]{2}([.,][0-9]+)?)?)?( ?(Z|[+-][0-9]{2}(:?[0-5][0-9])?))?)?"
)
"""What every Python reads alike of ISO 8601: not the 24th hour, and a fraction of seconds only."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def parse_moment(text: str, name: str, now_ns: int) -> int:
    """Nanoseconds since the epoch.

    Args:
        text: how long ago (a duration with its unit), or ISO 8601; without an offset it is this machine's local time.
        name: of the option, for the message.
        now_ns: the wall clock.

    Raises:
        UsageError: it is neither.
    """
    try:
        if re.fullmatch(r"[ 0-9.]+[a-z][ 0-9a-z.]*", text, re.ASCII):
            return now_ns - int(_ago(text) * 1e9)
        moment = datetime.fromisoformat(text if _ISO.fullmatch(text) else "")
        if moment.tzinfo is None:
            moment = _local(moment)
        return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError) as problem:  # Unfit is a ValueError
        raise UsageError(
            f"`{name}` must be how long ago it was, or a time.",
            remedy="Write it as 90m, 2h, 1d, 2026-01-31 or 2026-01-31T18:00:00+01:00.",
        ) from problem


def _local(moment: datetime) -> datetime:
    """A moment of this machine's time; of UTC in the first and last day of the calendar, beside which Python looks.

    One that a change of the clock leaves out is told by the clock as it was before; of one that comes twice, the first.
    """
    if not datetime.min + _DAY <= moment <= datetime.max - _DAY:  # noqa: DTZ901 - they are compared with one that has no zone either
        return moment.replace(tzinfo=UTC)
    # Not `astimezone`, which is an hour early in some Pythons where a time is left out.
    whole = moment.replace(microsecond=0)
    return _EPOCH + timedelta(seconds=whole.timestamp(), microseconds=moment.microsecond)


def iso_utc(moment_ns: int) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=moment_ns // 1000)).isoformat(timespec="microseconds")
