"""Every assumption about the service that its documentation does not settle, in one place, by a name and in words."""

ASSUMPTIONS = {
    # Statuses, and the answers that show them
    "arrears": "GetInstance may answer ArrearStopping and Arrearge, which only GetLifecycle documents.",
    "unknown-statuses": "The list of statuses is open: one that is not known here is neither a success nor a failure.",
    "snapshot-statuses": (
        "GetInstanceSnapshot and the items of InstanceSnapshotList use the statuses of LatestSnapshot."
    ),
    "latest-snapshot": (
        "LatestSnapshot may be an older, finished snapshot; the newest GmtCreateTime is the latest push."
    ),
    "whole-seconds": "GmtCreateTime is cut to whole seconds, so a snapshot of the same second is not older.",
    "snapshot-identity": (
        "A snapshot is known by its ImageId, else by its ImageUrl or ImageName, and by its GmtCreateTime. Once it is "
        "Saved it does not change any more: its GmtModifiedTime is when it was finished."
    ),
    "replicas": (
        "An answer may come from a replica that is behind; its GmtModifiedTime is older than that of the answer before."
    ),
    "statuses-on-the-way": (
        "On its way from StartInstance to Running an instance shows Creating, Queuing, ResourceAllocating, "
        "EnvPreparing or Starting and nothing else; from StopInstance to Stopped it shows Stopping, where it saves "
        "the image Saving and Saved before."
    ),
    # What a request brings about
    "old-state": (
        "After StartInstance or StopInstance the old state may be read for a while, also after a newer one was. It is "
        "told by its GmtModifiedTime, which changes with the status and never goes back; if that is missing, or moves "
        "though the status does not, it is told by its status, until another one was read."
    ),
    "passing-statuses": (
        "Stopping, Saving, Updating and Recovering end by themselves, and StartInstance is not granted before. What "
        "refuses StopInstance in a status that passes may grant it later."
    ),
    "after-a-save": (
        "What follows Saved and SaveFailed is documented nowhere. They are waited for as well; an instance that stays "
        "so is asked all the same, and its refusal decides."
    ),
    "undone-start": (
        "A start is undone by somebody: an instance that was on its way to Running does not stop by itself."
    ),
    "second-request": (
        "A second StartInstance or StopInstance is refused while the first is in effect. A second "
        "CreateInstanceSnapshot may be accepted: names and image URLs of snapshots may be unique or not."
    ),
    "shown-in-time": (
        "What a request has brought about is shown by GetInstance, or a snapshot by ListInstanceSnapshot with the "
        "Labels that it was given, before it is looked for three times; a snapshot is also shown if the instance is "
        "Saving."
    ),
    "save-on-stop": (
        "StopInstance with SaveImage makes a snapshot that is newer, by its GmtCreateTime, than those before. It may "
        "be pushed still when the instance is Stopped; if none is shown by then, the save has worked."
    ),
    "labels": (
        "CreateInstance has no token that would make it safe to repeat. ListInstances filters by Labels, shows those "
        "of each instance, and with WorkspaceId and ResourceId ALL every instance of the caller's."
    ),
    "late-creations": (
        "What a CreateInstance has created whose answer is lost is listed before it is looked for six times, or else "
        "once the instance of the second request is Running, with an older GmtCreateTime: then it is deleted."
    ),
    "new-instances": (
        "GetInstance may not find a new instance for a while. One that it does not find is gone only if it was shown "
        "before, and is not listed any more."
    ),
    "deletion": (
        "DeleteInstance may be refused in any status but Stopped and Failed. Until the instance is not found any more "
        "it shows Deleting, or the state from before the request."
    ),
    "shutdown-timer": (
        "A shutdown timer may be taken in any status, or only from Running: one that is refused before is set again "
        "then. It replaces one that is there, or is refused until that one is deleted. It is gone after a stop, or "
        "outlives it."
    ),
    # Errors
    "not-found": (
        "HTTP 404 means that the instance or snapshot is gone, unless Code or Message speak of credentials, of a "
        "permission (as a sister API answers: 404 with 100700008, 'denied by RAM') or of the API itself."
    ),
    "own-refusals": (
        "Every refusal of the service's own has a Code or a RequestId. A 404 without either comes from a gateway or "
        "proxy on the way; so does any other 4xx that has no Message either, in the API's own spelling."
    ),
    "throttling": (
        "Some products throttle with HTTP 400, so a Code that begins with Throttling counts more than the status."
    ),
    "retry-after": "A header x-acs-retry-after means that the same request may work later, whatever the status.",
    "permissions": (
        "Permissions are looked at only once the credentials were found good, so who lacks one has a good key."
    ),
    "taken-names": (
        "A refusal whose Code or Message holds 'exist' (not 'not exist'), 'duplicat' or 'conflict' may mean that the "
        "name of an instance, or the name or image URL of a snapshot, is taken: in which words the service says so is "
        "documented nowhere."
    ),
    "nonces": "SignatureNonceUsed comes from a replay by the network; a new request has a new nonce.",
    # Links
    "console": (
        "The PAI console shows a workspace at ``CONSOLE_URL``, on both of Alibaba Cloud's sites; where it shows a DSW "
        "instance is documented nowhere."
    ),
    "instance-urls": (
        "An instance's URLs ask for a login: whoever sees them on a task's page can do nothing by them alone."
    ),
}
