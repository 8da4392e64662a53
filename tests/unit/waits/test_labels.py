"""What is found by its label: no service, no Airflow."""

from __future__ import annotations

from airflow_provider_dsw.waits.labels import find_by_label
from tests.support.answers import snapshot

LABEL = {"Key": "made-by", "Value": "a"}


def test_a_snapshot_is_found_by_its_label_and_a_failed_one_only_if_there_is_no_other() -> None:
    older = snapshot("Saved", minute=1, SnapshotId="snp-1", Labels=[{"Key": "team", "Value": "b"}, LABEL])
    newer = {**older, **snapshot("Pushing", minute=2), "SnapshotId": "snp-2"}
    failed = {**older, **snapshot("Failed", minute=3), "SnapshotId": "snp-3"}
    others = [
        snapshot("Saved", minute=4, Labels=labels) for labels in (None, [], [{**LABEL, "Value": "b"}], [{"Key": "a"}])
    ]

    assert find_by_label([*others, failed, newer, older], "made-by", "a") == newer
    assert find_by_label([*others, failed], "made-by", "a") == failed
    assert find_by_label([*others, failed], "made-by", "a", excluding=["snp-3"]) is None
    assert find_by_label(others, "made-by", "a") is None
