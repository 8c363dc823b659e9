"""Topic names, and who a topic belongs to."""

from __future__ import annotations

import pytest

from wire.topics import WORKER_ID, Topics


def test_topics_are_those_of_the_protocol() -> None:
    topics = Topics("lab/ecloud")
    assert topics.boss_presence == "lab/ecloud/boss/presence"
    assert topics.orders("w-1") == "lab/ecloud/workers/w-1/orders"
    assert topics.reports("w-1") == "lab/ecloud/workers/w-1/reports"
    assert topics.presence("w-1") == "lab/ecloud/workers/w-1/presence"
    assert topics.output("w-1") == "lab/ecloud/workers/w-1/output"
    assert topics.all_reports == "lab/ecloud/workers/+/reports"
    assert topics.datastore_orders == "lab/ecloud/datastore/orders"


def test_a_topic_tells_its_worker() -> None:
    topics = Topics()
    for name in (topics.orders, topics.reports, topics.presence, topics.output):
        assert topics.worker_of(name("w.1_a-B")) == "w.1_a-B"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "ecloud",
        "ecloud/workers/",
        "ecloud/workers/w",
        "ecloud/workers/w/other",
        "ecloud/workers/w/reports/more",
        "ecloud/workers//reports",
        "ecloud/workers/../reports",
        "ecloud/workers/-w/reports",
        "ecloud/workers/w\n/reports",
        "ecloud/workers/wä/reports",
        "ecloud/workers/" + "w" * 64 + "/reports",
        "other/workers/w/reports",
        "xecloud/workers/w/reports",
        "ecloud/boss/presence",
    ],
)
def test_what_is_no_workers_topic_belongs_to_no_worker(topic: str) -> None:
    assert Topics().worker_of(topic) is None


@pytest.mark.parametrize("prefix", ["", "/a", "a/", "$SYS", "a+", "a/#", "a\0", "a b", "a\nuser mallory", "a\x7f"])
def test_a_prefix_that_cannot_be_a_topic_is_refused_by_its_setting_name(prefix: str) -> None:
    with pytest.raises(ValueError, match="mqtt_prefix"):
        Topics(prefix)


@pytest.mark.parametrize("worker", [".", "..", ".hidden", "a/b", "a+", "#", "", "a b", "w\n", "@boss"])
def test_worker_ids_are_safe_as_topic_level_directory_and_login(worker: str) -> None:
    assert not WORKER_ID.match(worker)
