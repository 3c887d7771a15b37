"""The ingredients that make the protocol safe; the model can do without any of them."""

import enum


class Ingredient(enum.Enum):
    """One rule of the protocol, as it reads where it holds."""

    # of the writer
    CLAIM = "a writer claims the partition"
    CLAIM_NEXT = "a writer claims the next epoch, not a later one"
    CLAIM_ACCEPTED = "it serves only if the record at c is its accepted claim"
    READ_TO_CLAIM = "its heads are those up to its claim"
    CONTIGUITY = "record i of the session stands at exactly c + i"
    REPORTS_IN_ORDER = "reports come in the order in which records were sent"
    NEW_EPOCH = "after doubt, nothing is sent in the same epoch"
    DUPLICATE_CHECK = "an append id that was applied is not applied again"
    IN_FLIGHT_CHECK = "an append id that is in flight is not sent again"
    COMMITTED_HEADS = "an append is refused on committed heads only"

    # of the reader
    SEQUENCE = "a live event's sequence number is the next"
    WRITER = "a live event's writer id is the current one"
    EPOCH = "a live event's epoch is the current one"
    NEXT_EPOCH = "an accepted claim's epoch is above the current one"
    EXACTLY_NEXT_EPOCH = "an accepted claim's epoch is the next, not any later one"
    CLAIM_ENDS_APPEND = "a claim is accepted although an append is not complete"
    INDEX_AND_COUNT = "an append becomes valid as a whole"
    POSITION_BETWEEN_APPENDS = "a position is never inside an append"
    POSITION_HAS_WRITER = "a position holds epoch, writer id and next sequence number"
    POSITION_OF_CURRENT_WRITER = "a reader does not take the next event's writer for the current"

    # of checkpoints, look-ups and eviction
    CHECKPOINT_ACKNOWLEDGED = "a checkpoint holds only what is acknowledged"
    CHECKPOINT_AT_ITS_PREFIX = "a checkpoint's offset is one past what it holds, not the log's end"
    CHECKPOINT_COMPARES = "a checkpoint follows the one it knows, or one of its own prefix"
    CHECKPOINT_EPOCH = "a checkpoint does not follow one of a later epoch"
    CHECKPOINT_KNOWN = "a checkpoint counts as committed only when that is known"
    CLAIM_MEETS_ROW = "after the claim, the row is read, and begun from if it went back"
    LOADED_WHOLE = "no head is looked up only where all were loaded"
    LOADED_AT_ONCE = "heads are loaded as of the checkpoint from which the log is read"
    LOOK_UP_EPOCH = "a look-up counts only if no later writer stored a checkpoint"
    LOOK_UP_NOT_BEHIND = "a look-up counts only if its checkpoint is not behind the known one"
    LOOK_UP_NOT_AHEAD = "a look-up counts only if its checkpoint is not ahead of what is committed"
    LOOK_UP_AT_ONCE = "a look-up reads row, head and id in one statement"
    LOOK_UP_HEAD = "a head that is not in memory is looked up"
    LOOK_UP_ID = "an append id that may stand before the claim is looked up"
    MEMORY_WINS = "what memory holds is newer than what was looked up"
    LOOK_AGAIN = "after a look-up, memory and what is in flight are looked at again"
    FORGET_BELOW = "only what stands below the checkpoint is forgotten"

    # of requests and replies
    FORWARDED_IS_LOOKED_UP = "the id of an append that came as a request is looked up"
    HANDED_OVER_IS_LOOKED_UP = "the id of an append that was handed over is looked up"
    REPLY_ACKNOWLEDGED = "a reply says applied only once the append is acknowledged"
    EXPIRED_IS_UNKNOWN = "what is not decided by its deadline is unknown, not refused"
    APPLIED_BEFORE_DEADLINE = "an id that was applied gets its first answer after its deadline too"
    AHEAD_IS_UNKNOWN = "a version that lies ahead is unknown, not refused"
    REPLY_OF_ITS_REQUEST = "a reply counts only for its own request, not for its append id"
    OFFSET_AFTER_REPLY = "a request's offset is committed only after its reply"
    OFFSETS_IN_ORDER = "a request's offset is committed only after those before it"

    # of a producer that partitions share
    ERROR_ENDS_ALL = "an error of the producer ends the sessions of all its partitions"
