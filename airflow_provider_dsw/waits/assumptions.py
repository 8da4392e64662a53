"""Every assumption about the service that its documentation does not settle, in one place and in words."""

ASSUMPTIONS = (
    # Statuses, and the answers that show them
    "GetInstance may answer ArrearStopping and Arrearge, which only GetLifecycle documents.",
    "The list of statuses is open: one that is not known here is neither a success nor a failure.",
    "GetInstanceSnapshot and the items of InstanceSnapshotList use the statuses of LatestSnapshot.",
    "LatestSnapshot may be an older, finished snapshot; the newest GmtCreateTime is the latest push.",
    "GmtCreateTime is cut to whole seconds, so a snapshot of the same second is not older.",
    "A snapshot is known by its ImageId, else by its ImageUrl or ImageName, and by its GmtCreateTime. Once it is Saved "
    "it does not change any more: its GmtModifiedTime is when it was finished.",
    "An answer may come from a replica that is behind; its GmtModifiedTime is older than that of the answer before.",
    "On its way from StartInstance to Running an instance shows Creating, Queuing, ResourceAllocating, "
    "EnvPreparing or Starting and nothing else; from StopInstance to Stopped it shows Stopping, where it saves "
    "the image Saving and Saved before.",
    # What a request brings about
    "After StartInstance or StopInstance the old state may be read for a while, also after a newer one was. It is "
    "told by its GmtModifiedTime, which changes with the status and never goes back; if that is missing, or moves "
    "though the status does not, it is told by its status, until another one was read.",
    "Stopping, Saving, Updating and Recovering end by themselves, and StartInstance is not granted before. What "
    "refuses StopInstance in a status that passes may grant it later.",
    "What follows Saved and SaveFailed is documented nowhere. They are waited for as well; an instance that stays so "
    "is asked all the same, and its refusal decides.",
    "A start is undone by somebody: an instance that was on its way to Running does not stop by itself.",
    "A second StartInstance or StopInstance is refused while the first is in effect. A second CreateInstanceSnapshot "
    "may be accepted: names and image URLs of snapshots may be unique or not.",
    "What a request has brought about is shown by GetInstance, or a snapshot by ListInstanceSnapshot with the Labels "
    "that it was given, before it is looked for three times; a snapshot is also shown if the instance is Saving.",
    "StopInstance with SaveImage makes a snapshot that is newer, by its GmtCreateTime, than those before. It may be "
    "pushed still when the instance is Stopped; if none is shown by then, the save has worked.",
    "CreateInstance has no token that would make it safe to repeat. ListInstances filters by Labels, shows those of "
    "each instance, and with WorkspaceId and ResourceId ALL every instance of the caller's.",
    "What a CreateInstance has created whose answer is lost is listed before it is looked for six times, or else once "
    "the instance of the second request is Running, with an older GmtCreateTime: then it is deleted.",
    "GetInstance may not find a new instance for a while. One that it does not find is gone only if it was shown "
    "before, and is not listed any more.",
    "DeleteInstance may be refused in any status but Stopped and Failed. Until the instance is not found any more it "
    "shows Deleting, or the state from before the request.",
    "A shutdown timer may be taken in any status, or only from Running: one that is refused before is set again then. "
    "It replaces one that is there, or is refused until that one is deleted. It is gone after a stop, or outlives it.",
    # Errors
    "HTTP 404 means that the instance or snapshot is gone, unless Code or Message speak of credentials, of a "
    "permission (as a sister API answers: 404 with 100700008, 'denied by RAM') or of the API itself.",
    "Every refusal of the service's own has a Code or a RequestId. A 404 without either comes from a gateway or proxy "
    "on the way; so does any other 4xx that has no Message either, in the API's own spelling.",
    "Some products throttle with HTTP 400, so a Code that begins with Throttling counts more than the status.",
    "A header x-acs-retry-after means that the same request may work later, whatever the status.",
    "Permissions are looked at only once the credentials were found good, so who lacks one has a good key.",
    "A refusal whose Code or Message holds 'exist', 'duplicat' or 'conflict' may mean that the name or the image URL "
    "of a snapshot is taken: in which words the service says so is documented nowhere.",
    "SignatureNonceUsed comes from a replay by the network; a new request has a new nonce.",
    # Links
    "The PAI console shows a workspace at ``CONSOLE_URL``, on both of Alibaba Cloud's sites; where it shows a DSW "
    "instance is documented nowhere.",
    "An instance's URLs ask for a login: whoever sees them on a task's page can do nothing by them alone.",
)
