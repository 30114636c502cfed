"""A server's database as an old version left it."""

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from rally_accelerate.server.store.database import MIGRATIONS


def create_old_database(path: Path, items: list[dict[str, Any]]) -> None:
    """Create a database as it was before issues could be searched."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = f"sqlite:///{path}"
    command.upgrade(config, "0005")
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for item in items:
            content = {name: value for name, value in item.items() if name != "history"}
            connection.exec_driver_sql(
                "INSERT INTO issues (tracker_id, external_id, tenant_id, source, display_id, name, status, type, last_update, "
                "uploaded, content) VALUES ('t', ?, 'n', 'RALLY', ?, ?, ?, ?, ?, 5, ?)",
                (
                    *(item[name] for name in ("_id", "id", "name", "status", "type")),
                    item.get("lastUpdate", 0),
                    json.dumps(content),
                ),
            )
            for position, entry in enumerate(item.get("history", ())):
                connection.exec_driver_sql(
                    "INSERT INTO issue_history (tracker_id, external_id, position, instant, field, content) "
                    "VALUES ('t', ?, ?, ?, 'status', ?)",
                    (item["_id"], position, entry["timestamp"], json.dumps(entry["content"])),
                )
    engine.dispose()
