"""Each step between a result's last byte and its acknowledgement: which call of which program stands there."""

from __future__ import annotations

from tests.worlds.inside.plan import Crash

SYNC, RECORD, NAMES = (
    "datastore.publish:Publisher.sync_incoming",
    "datastore.publish:Publisher.write_records",
    "datastore.publish:Publisher.place_files",
)
WRITTEN = "datastore.disk.index:Index.write_records"
SAY, TELL_WORKER, TELL_DATASTORE = (
    "wire.link:Link.publish",
    "boss.messages:MqttMessages.send_to_worker",
    "boss.messages:MqttMessages.send_to_datastore",
)
RSYNC, TAKE = "datastore.transfers.rsync:TransferProcess", "datastore.transfers.receiving:Intake.take"

CRASHES = [
    # -- the datastore, before there is a record: what it had is fetched again ------------------------
    # (The first file that is copied is the input of the first task.)
    Crash("a result is just received", "datastore", "datastore.transfers.local:copy", after=True, call=3),
    Crash("the results are about to be synced", "datastore", SYNC),
    Crash("a directory is half built", "datastore", "datastore.disk.folders:os.rename"),
    Crash("the record is about to be written", "datastore", RECORD),
    # -- from here on it is completed, whatever happens -----------------------------------------------
    Crash("the record is written", "datastore", WRITTEN, after=True),
    Crash("no result has its name", "datastore", NAMES, holds="out/one"),
    Crash("one result has its name", "datastore", "datastore.disk.names:os.rename", after=True, holds="'one'"),
    Crash("all files have their names", "datastore", "datastore.disk.names:put_in_place", holds="'many'"),
    Crash("the directory has its name, too", "datastore", "datastore.disk.names:put_in_place", after=True),
    Crash("the folders are not synced", "datastore", "datastore.disk.names:Names._sync", holds="deep"),
    Crash("all results have their names", "datastore", NAMES, after=True, holds="out/one"),
    Crash("Published is said", "datastore", SAY, holds='"published"', after=True, linger=0.3),
    Crash("the record is about to go", "datastore", "datastore.publish:Publisher.drop_records"),
    Crash("the record is gone", "datastore", "datastore.publish:Publisher.drop_records", after=True),
    # -- the same by rsync, where that differs ----------------------------------------------------------
    Crash("inputs are under way by SSH", "datastore", RSYNC, after=True, holds="/cache/", by_ssh=True),
    Crash("results are under way by SSH", "datastore", RSYNC, after=True, holds="/attempts/", by_ssh=True),
    Crash("what rsync brought is not looked at", "datastore", TAKE, by_ssh=True),
    Crash("what rsync brought is verified", "datastore", TAKE, after=True, by_ssh=True),
    Crash("the record of what came by SSH is written", "datastore", WRITTEN, after=True, by_ssh=True),
    # -- the boss ---------------------------------------------------------------------------------------
    Crash("the boss is about to ask for the results", "boss", TELL_DATASTORE, holds="Collect("),
    Crash("the boss has not recorded the results", "boss", "boss.loop:Loop._record", holds="ResultRow("),
    Crash("the boss has not acknowledged", "boss", TELL_WORKER, holds="Acknowledge("),
    Crash("the boss has not let the record go", "boss", TELL_DATASTORE, holds="Forget("),
    Crash("the boss has said all", "boss", "boss.loop:Loop._perform", holds="Forget(", after=True, linger=0.3),
    # -- the worker -------------------------------------------------------------------------------------
    Crash("the results are not listed", "worker", "worker.attempt_files:list_results", again=True),
    Crash("the outcome is not written", "worker", "worker.journal:Journal.keep", again=True),
    Crash("the outcome is not said", "worker", SAY, holds='"outcome"'),
    Crash("the outcome is said", "worker", SAY, holds='"outcome"', after=True, linger=0.3),
    Crash("the end is acknowledged, not forgotten", "worker", "worker.journal:Journal.forget"),
    Crash("the folder is still there", "worker", "worker.attempt_files:remove_tree", holds="attempts/1.1'"),
]
