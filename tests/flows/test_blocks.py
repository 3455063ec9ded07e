"""Credentials from a Prefect block: the way that a source is read by, and nowhere to be seen."""

from __future__ import annotations

import csv
import traceback

import pytest
import yaml

from flows.monitor import monitor
from tasks.ingest.arrivals import open_source
from tasks.ingest.source import SourceError
from tasks.model_spec import manage
from tests.conftest import WEATHER_WEEKS, run_flow
from tests.projects.test_weather import write_table

pytestmark = pytest.mark.flow

CANARY = "c4nary-of-a-block"


def read_from(project, **custom):
    """Have the weather read from a table, with these custom properties."""
    contract = project / "data_contracts" / "weather.odcs.yaml"
    properties = [{"property": name, "value": value} for name, value in custom.items()]
    server = {"server": "shop", "type": "custom", "customProperties": properties}
    document = yaml.safe_load(contract.read_text(encoding="utf-8")) | {"servers": [server]}
    contract.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def test_secret_block_goes_the_whole_way_and_is_nowhere(
    use_home, quick_project, make_weather_home, tmp_path, caplog, capfd
):
    """A flow reads by a block; its value is in no file that was written, no log, no run, no
    artifact, no error.
    """
    from prefect.blocks.system import Secret
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter

    settings = use_home(make_weather_home(1), quick_project)
    secret = tmp_path / CANARY
    Secret(value=str(secret)).save("weather-place", overwrite=True)
    read_from(quick_project, url="sqlite:///{{ prefect.blocks.secret.weather-place }}/weather.db")
    with pytest.raises(
        SourceError, match=r"\{\{ prefect\.blocks\.secret\.weather-place \}\}/weather\.db: no such"
    ) as caught:
        run_flow(monitor("weather"))
    secret.mkdir()
    week = settings.home / "sources" / "weather" / f"{WEATHER_WEEKS[0]}.csv"
    write_table(
        secret / "weather.db", list(csv.DictReader(week.read_text(encoding="utf-8").splitlines()))
    )

    (record,) = run_flow(monitor("weather"))

    assert record.accepted
    assert (
        record.snapshot.source
        == "sqlite:///{{ prefect.blocks.secret.weather-place }}/weather.db#weather"
    )
    with get_client(sync_client=True) as client:
        told = [
            *client.read_flow_runs(limit=200),
            *client.read_artifacts(limit=200),
            *client.read_logs(LogFilter(), limit=200),
        ]
    assert len(told) > 2
    assert [item for item in told if CANARY in item.model_dump_json()] == []
    written = [path for path in settings.home.rglob("*") if path.is_file()]
    assert settings.home / "ledger.db" in written
    assert [path for path in written if CANARY.encode() in path.read_bytes()] == []
    said = (
        caplog.text
        + "".join(capfd.readouterr())
        + "".join(traceback.format_exception(caught.value))
    )
    assert CANARY not in said


def test_values_of_other_blocks(use_home, quick_project, make_weather_home, tmp_path):
    """A key of a block of any type, as in a deployment: the account of a database, of a cloud."""
    from prefect.blocks.core import Block
    from pydantic import SecretStr

    class ShopAccount(Block):
        """What an account of a shop is."""

        _block_type_slug = "shop-account"
        user: str
        password: SecretStr

    settings = use_home(make_weather_home(1), quick_project)
    ShopAccount(user="reader", password=SecretStr(CANARY)).save("north", overwrite=True)
    block = "{{ prefect.blocks.shop-account.north.%s }}"
    read_from(
        quick_project,
        url=f"postgresql+psycopg2://{block % 'user'}:{block % 'password'}@127.0.0.1:1/shop",
    )

    source = open_source(manage("weather", settings).rows)

    assert (source.engine.url.username, source.engine.url.password) == ("reader", CANARY)
    with pytest.raises(SourceError) as caught:
        source.batches()
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(source)


@pytest.mark.parametrize(
    "reference", ["secret.no-such-block", "secret", "secret.weather.no.such.key"]
)
def test_block_that_is_not_there(use_home, quick_project, make_weather_home, reference):
    """The error names the contract's key and the reference."""
    from prefect.blocks.system import Secret

    settings = use_home(make_weather_home(1), quick_project)
    Secret(value=CANARY).save("weather", overwrite=True)
    read_from(quick_project, url=f"sqlite:///{{{{ prefect.blocks.{reference} }}}}/x.db")

    with pytest.raises(
        SourceError, match=rf"servers\.0\.url: expected \{{\{{ prefect\.blocks\.{reference} "
    ) as caught:
        open_source(manage("weather", settings).rows).batches()
    assert CANARY not in "".join(traceback.format_exception(caught.value))
