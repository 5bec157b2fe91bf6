"""What each pool child is doing, in memory that the worker's parent process shares with it.

The parent must know at once, without asking the board, which attempt a child runs and when its time is up;
a child must learn at once that its attempt is to end. Each child has one slot. It alone writes what it does
there; the parent alone writes orders, and an order names the claim it is meant for, so that one that comes
too late never hits the child's next job.
"""

from __future__ import annotations

import os

from simcelery.worker.slots.child import Outside, Slot
from simcelery.worker.slots.layout import Memory
from simcelery.worker.slots.parent import Slots

# This process's own. Without a worker it may claim no job.
mine: Slot = Outside(Memory(max_jobs=0, slots=1), alone=False)


def share(slots: Slots) -> None:
    """In a worker's parent process, before its pool forks: whose slots this process and its children use."""
    global mine
    mine = Outside(slots.memory, alone=False)


def lend(slot: Slot) -> Slot:
    """Give this process another slot, with which it may claim jobs without a pool; return the former one."""
    global mine
    former, mine = mine, slot
    return former


def take(index: int) -> None:
    """This process takes its slot, if it is a child of a worker's pool.

    Parameters:
        index: its number in the pool.
    """
    global mine
    if mine.memory.maker != os.getpid():
        mine = Slot.taken(mine.memory, index)
