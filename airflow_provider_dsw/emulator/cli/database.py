"""Inside Airflow, for `dsw-emulator standalone`: make the database, with the connections in it.

The command starts it as a separate process, with Airflow's home in the environment and a file that holds the
connections.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def main(connections: Mapping[str, Mapping[str, Any]]) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    with create_session() as session:
        # In the database, not in the environment: the UI shows and edits those alone.
        for conn_id, fields in connections.items():
            session.add(Connection(conn_id=conn_id, **{**fields, "extra": json.dumps(fields["extra"])}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
