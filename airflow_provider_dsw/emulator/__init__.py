"""An emulator of the PAI-DSW service on loopback, to try and to test DAGs without an account.

It follows the public documentation; nobody compared it with the real service. It knows nothing of Airflow,
of the Alibaba Cloud SDK, or of the rest of this package.

    with DswEmulator(speed=10) as emulator:
        emulator.add_instance("dsw-abc", timeline=[("Starting", 30), ("Running", None)])
        os.environ["AIRFLOW_CONN_DSW_DEFAULT"] = json.dumps(emulator.connection())

What it assumes where the documentation is silent, all of it. Much of this can be chosen: see `Options`.

Instances
    A start goes Creating, ResourceAllocating, EnvPreparing, Starting, Running; a stop Stopping, Stopped.
    StartInstance is refused unless the instance is Stopped or Failed. StopInstance is refused when it is
    stopped, stopping, saving, deleting or failed; with SaveImage=true unless it is Running. GmtModifiedTime
    is the time at which the present status began. The URLs are there in every status. ReasonCode and
    ReasonMessage are empty unless the status is Failed or SaveFailed. In an answer that reports success
    Code, Message and HttpStatusCode are null. Token and Fields are accepted and change nothing.
    CreateInstance wants a name, an image and EcsSpec or ResourceId, and ignores unknown fields; what follows
    is a start. DeleteInstance is refused while the instance is saved, updated or deleted already; then it is
    Deleting, and gone. UpdateInstance shows Updating for two seconds, and refuses a value that is there.
    An instance without a shutdown timer or idle culler shows null. A timer replaces the one before it, is
    taken in any status, waits for the end of a save, and is gone after a stop; one that is not there is 404.
    An instance is idle while it runs, unless the test says otherwise. For SSH it is Pending, then Ready.
Events and lifecycle
    An event's line begins with its time and level (Normal or Warning); the oldest comes first, MaxEventsNum
    takes the newest. A session ends with Stopped or Failed; SessionNumber 1 is the first in the Order, which
    holds for the statuses within a session too.
Snapshots
    While a snapshot is Committing and Pushing its instance is Saving; then it is Saved for a moment and
    goes on, to Running, or with StopInstance(SaveImage=true) to Stopping and Stopped. When the snapshot
    fails the instance is SaveFailed for a moment and then Running, also if it was to be stopped. A snapshot
    has its ImageId from the beginning; its ImageName is the SnapshotName. A name that exists is refused
    unless Overwrite is true; then the older snapshot of that name is gone. New ones are last in
    InstanceSnapshotList. The Status of GetInstanceSnapshot, ListInstanceSnapshot and InstanceSnapshotList
    takes the values of LatestSnapshot. An instance without a snapshot has LatestSnapshot null and an empty
    InstanceSnapshotList.
ListInstances
    InstanceName matches a part of the name; the other filters match the whole value; times are compared
    inclusively. A PageSize over 100 is read as 100. SortBy without Order, or the other way round, is
    refused. Labels is an object as JSON, all of whose labels are there. The filters by resources and tags are
    refused as not served.
Refusals
    What is missing is 404 InternalError, what is not allowed 400 ValidationError: the two documented codes
    (`errors`). Of the gateway's: an unknown key is 404 InvalidAccessKeyId.NotFound, a disabled one 403
    InvalidAccessKeyId.Inactive; 400 are SignatureDoesNotMatch (also for a body that its hash does not fit,
    and for x-acs-* headers that are not signed; the message shows the canonical request),
    InvalidSecurityToken.Malformed and .Expired, InvalidTimeStamp.Expired (more than 15 minutes off) and
    .Format, SignatureNonceUsed, MissingHeader, IncompleteSignature and InvalidVersion. An action that the
    path and the method do not fit is 404 InvalidAction.NotFound. A denied one is 403 NoPermission; what
    CreateInstance needs is paidsw:CreatePostPaidInstance. No stock is 400 OperationDenied.NoStock. The
    checks go in the order headers, version, date, key, signature, token, nonce, permission, action.
    Throttling says how long to wait in the two headers that SDKs read.
"""

from airflow_provider_dsw.emulator.clock import Clock, ManualClock
from airflow_provider_dsw.emulator.faults import Fault
from airflow_provider_dsw.emulator.options import Options
from airflow_provider_dsw.emulator.record import Request
from airflow_provider_dsw.emulator.server import DswEmulator
from airflow_provider_dsw.emulator.signature import Credential

__all__ = ["SAMPLE_SECRET", "Clock", "Credential", "DswEmulator", "Fault", "ManualClock", "Options", "Request"]

# In every secret of the default instance, except for ImageAuth, which is Base64.
SAMPLE_SECRET = "emulator-secret"  # noqa: S105
