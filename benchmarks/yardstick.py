"""What our decisions are worth: five streams replayed under the usual policies and under ours.

    python -m benchmarks.yardstick [--data DIR] [--streams NAME ...] [--cache DIR] [--plot PNG]
    [--trials N] [--quick]

``--data`` names the folder with ``<stream>/data.csv.gz`` for flights, elec2, noaa_weather,
beijing_pm25 and bike_sharing; streams that are not there are left out. Without it, the built-in
example's flights are taken. Every model that a policy may ask for is trained once (minutes of CPU),
and kept in ``--cache`` if that is given; then a policy is replayed in seconds. Prints Markdown
tables. The settings are those of docs/yardstick.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import arguments, heading, row, takes_data
from benchmarks.ingest_validate import CONTRACT, flights
from benchmarks.simulation.models import Models, Window
from benchmarks.simulation.plot import Point, draw
from benchmarks.simulation.policies import ALWAYS, POLICIES, STATIC, Policy
from benchmarks.simulation.streams import SETTINGS, Stream, cut, read
from benchmarks.simulation.trials import ATTEMPTS, BETTER, EQUAL, any_promotion, power
from flows.whatif.replay import Outcome

BROKEN_EVERY = 10
QUICK = 10
"""Served batches of each stream, for a first look."""


@dataclass(frozen=True)
class Scale:
    """One stream's own ends: what never retraining loses and what always retraining does, its
    window in hindsight.
    """

    models: Models
    static: float
    always: float
    window: Window
    trainings: int

    def gain(self, outcome: Outcome) -> float:
        """Return the share of always-retrain's gain."""
        return (self.static - outcome.loss) / (self.static - self.always)


def scale(models: Models) -> Scale:
    """Replay never and always."""
    static = STATIC.replay(models, "all", None)
    both = [policy.replay(models, "all", None) for policy in ALWAYS]
    best = min(both, key=lambda outcome: outcome.loss)
    return Scale(
        models, static.loss, best.loss, ("all", "sliding")[both.index(best)], best.trainings
    )


@dataclass(frozen=True)
class Row:
    """One policy over all streams."""

    policy: Policy
    broken: bool
    outcomes: tuple[Outcome, ...]
    gains: tuple[float, ...]
    trainings: float
    """Mean share of always-retrain's trainings."""

    @property
    def gain(self) -> float:
        """Mean share of always-retrain's gain."""
        return sum(self.gains) / len(self.gains)

    def cells(self) -> list[str]:
        """Return its line of the table."""
        losses = [f"{o.loss:.4g} ({g:.2f})" for o, g in zip(self.outcomes, self.gains, strict=True)]
        trained, seconds = (
            sum(one) for one in zip(*((o.trainings, o.seconds) for o in self.outcomes), strict=True)
        )
        name = f"{self.policy.name}{', broken' if self.broken else ''}"
        gains = (f"{self.gain:.2f}", f"{min(self.gains):.2f}")
        return [name, *losses, *gains, f"{trained} ({self.trainings:.0%})", f"{seconds:.0f}"]


def measure(policy: Policy, broken: bool, scales: Sequence[Scale]) -> Row:
    """Replay one policy over all streams."""
    outcomes = [
        policy.replay(one.models, one.window, BROKEN_EVERY if broken else None) for one in scales
    ]
    shares = [o.trainings / s.trainings for o, s in zip(outcomes, scales, strict=True)]
    gains = tuple(s.gain(o) for o, s in zip(outcomes, scales, strict=True))
    return Row(policy, broken, tuple(outcomes), gains, sum(shares) / len(shares))


def streams(data: Path | None, names: Sequence[str]) -> list[Stream]:
    """Read the streams that are there; without a folder, the built-in example's flights."""
    if data is None:
        with tempfile.TemporaryDirectory() as work:
            frame = flights(None, Path(work))[[name for name in CONTRACT if name != "id"]]
        return [cut(SETTINGS[0], frame.assign(ts=frame["ts"].dt.tz_localize(None)))]
    found = [
        one for one in SETTINGS if one.name in names and (data / one.name / "data.csv.gz").is_file()
    ]
    if not found:
        raise SystemExit(
            f"{data}: expected <stream>/data.csv.gz for one of {list(names)}, found none"
        )
    return [read(one, data) for one in found]


def replay_table(given: Sequence[Stream], cache: Path) -> list[Row]:
    """Print the table of the policies, and return its rows."""
    started = time.process_time()
    scales = [scale(Models(stream, cache)) for stream in given]
    names = [s.setting.name for s in given]
    heading("policy", *names, "mean gain", "worst", "trainings", "training CPU s")
    rows = []
    for broken in (False, True):
        for policy in POLICIES:
            if broken and policy is STATIC:
                continue  # it has one training, and the tenth is broken
            rows.append(measure(policy, broken, scales))
            row(*rows[-1].cells())
    print(
        "\nLoss, and in brackets the share of always-retrain's gain. All of it took"
        f" {time.process_time() - started:.0f} s of CPU."
    )
    return rows


def points(rows: Sequence[Row]) -> list[Point]:
    """Return what the picture shows: the usual policies and ours, without the variations."""
    broken = {row.policy.name: row.gain for row in rows if row.broken}
    return [
        Point(
            row.policy.name,
            row.trainings,
            row.gain,
            broken.get(row.policy.name),
            row.policy.kind == "ours",
        )
        for row in rows
        if not row.broken and row.policy.kind != "variation"
    ]


def trials_table(times: int) -> None:
    """Print how often the gate promotes an equal recipe, and finds a better one."""
    heading(f"gate, {times} seeded worlds of 2,000 rows", "")
    for name, world in EQUAL.items():
        row(
            f"P(any promotion) in {ATTEMPTS} attempts of an equal recipe, {name}",
            f"{any_promotion(world, times):.3f}",
        )
    found = {errors: power(world, times) for errors, world in BETTER.items()}
    heading("power at +0.02 AUC, errors in log odds of", *map(str, found))
    for way in next(iter(found.values())):
        row(way, *(f"{shares[way]:.3f}" for shares in found.values()))


def main() -> None:
    """Replay, simulate, print, draw."""
    parser = arguments(__doc__, quick=f"the first {QUICK} batches, a tenth of the trials")
    takes_data(parser)
    parser.add_argument("--streams", nargs="+", default=[one.name for one in SETTINGS])
    parser.add_argument("--cache", type=Path, help="where predictions are kept; --work by default")
    parser.add_argument("--plot", type=Path, help="where the picture goes; none by default")
    parser.add_argument(
        "--trials", type=int, default=1000, help="seeded worlds of the gate's simulations"
    )
    given = parser.parse_args()
    chosen = streams(given.data, given.streams)
    if given.quick:
        chosen = [stream.head(stream.setting.first + QUICK) for stream in chosen]
    with tempfile.TemporaryDirectory(dir=given.work) as temporary:
        rows = replay_table(chosen, given.cache or Path(temporary))
    if given.plot:
        draw(given.plot, points(rows))
    trials_table(given.trials // 10 if given.quick else given.trials)


if __name__ == "__main__":
    main()
