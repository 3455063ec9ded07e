"""A home that was moved or copied: MLflow writes absolute paths of artifacts down, and cannot be
told otherwise, so its store is brought to where the home is now.
"""

from __future__ import annotations

from pathlib import Path

_PATHS = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("experiments", "artifact_location"),
)
"""Where MLflow's store keeps paths; experiments last, by which it is known what is to be done."""


def follow_home(store: str, artifacts: Path) -> tuple[str, ...]:
    """Have the MLflow store at a SQLAlchemy URL name its artifacts in ``artifacts``; return the
    directories that it named instead.

    Only what has come with the home is renamed: what lies in another place that is not called
    ``artifacts``, or is not in the new one, stays. Done again after a crash, it goes on.
    """
    from mlflow.store.db.utils import create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(store)
    try:
        with engine.begin() as connection:
            if not engine.dialect.has_table(connection, "experiments"):
                return ()
            named = connection.exec_driver_sql("SELECT artifact_location FROM experiments")
            places = [Path(location) for (location,) in named if location]
            left = {
                str(place.parent)
                for place in places
                if place.is_absolute()
                and place.parent.name == artifacts.name
                and place.parent != artifacts
                and (artifacts / place.name).is_dir()
            }
            mark = "?" if engine.dialect.paramstyle == "qmark" else "%s"
            for old in sorted(left):
                for table, column in _PATHS:
                    connection.exec_driver_sql(
                        f"UPDATE {table} SET {column} = replace({column}, {mark}, {mark})"  # noqa: S608 - our own names
                        f" WHERE {column} LIKE {mark}",
                        (f"{old}/", f"{artifacts}/", f"{old}/%"),
                    )
            return tuple(sorted(left))
    finally:
        engine.dispose()
