"""What a version of Airflow can't do by itself."""

import airflow
import pytest

LOOKS_UP_IN_A_TASK_ONLY = pytest.mark.skipif(
    airflow.__version__ == "3.1.0",
    reason="Airflow 3.1.0 looks for a connection that the environment lacks in a task only, else it can't be imported",
)
