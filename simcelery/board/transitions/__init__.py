"""Every way in which a job changes its state: one guarded change each, in the caller's transaction.

No row means that the race was lost: somebody else has moved the job, and there is nothing to do. Where
several rows are touched, they are locked in the order of their ids, and a parent's id is smaller than that
of a job that depends on it, so that transitions do not wait for each other in a circle. (A revised job may
take the result of a newer one. Two that meet there at the wrong moment do wait so; Postgres ends one of them
within a second, and it is done again, or said to have changed nothing.)
"""

from simcelery.board.submitting import may_be_alone, record_alone
from simcelery.board.transitions.admit import admit
from simcelery.board.transitions.cancel import cancel
from simcelery.board.transitions.claim import (
    claim,
    forgotten,
    holds_lease,
    put_back,
    set_aside,
    waits_for_room,
)
from simcelery.board.transitions.continuing import finish
from simcelery.board.transitions.finish import by_child, by_claim, finish_at_once, note_late
from simcelery.board.transitions.finish_and_claim import finish_and_claim
from simcelery.board.transitions.gates import (
    LetGo,
    close_gates,
    gates_due,
    hold,
    let_go,
    let_go_at_once,
    open_gate,
    put_behind,
    release_gates,
    release_jobs,
)
from simcelery.board.transitions.record import allocate_ids, record
from simcelery.board.transitions.release import release, release_child
from simcelery.board.transitions.rescue import rescue, rescue_now
from simcelery.board.transitions.retry import hand_back, retry
from simcelery.board.transitions.settle import Settled, settle, unsettled
from simcelery.board.transitions.stage import stage

__all__ = [
    "LetGo",
    "Settled",
    "admit",
    "allocate_ids",
    "by_child",
    "by_claim",
    "cancel",
    "claim",
    "close_gates",
    "finish",
    "finish_and_claim",
    "finish_at_once",
    "forgotten",
    "gates_due",
    "hand_back",
    "hold",
    "holds_lease",
    "let_go",
    "let_go_at_once",
    "may_be_alone",
    "note_late",
    "open_gate",
    "put_back",
    "put_behind",
    "record",
    "record_alone",
    "release",
    "release_child",
    "release_gates",
    "release_jobs",
    "rescue",
    "rescue_now",
    "retry",
    "set_aside",
    "settle",
    "stage",
    "unsettled",
    "waits_for_room",
]
