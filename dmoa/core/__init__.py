"""The ground floor: what a node decides, as a pure state machine. No clock, no I/O, no chance.

Drivers (`dmoa.sim` in virtual time, `dmoa.live` on real machines) feed events to `Node.step` and
carry out the actions it returns. Nothing here imports a clock, a socket or a global random
generator.
"""

from dmoa.core.actions import (
    Action,
    Answer,
    CancelService,
    Expire,
    Fail,
    Persist,
    Prefill,
    Refuse,
    Send,
    SetTimer,
    StartService,
)
from dmoa.core.augment import INSTRUCTION, Template, augment
from dmoa.core.events import (
    WHOLE_PROMPT,
    DrainStarted,
    Event,
    MessageReceived,
    PeerFound,
    PeerLost,
    PromptArrived,
    ServiceEnded,
    ServiceFailed,
    TimerFired,
    TimerId,
)
from dmoa.core.messages import (
    Content,
    Message,
    Options,
    Refusal,
    Report,
    Response,
    Task,
    TaskId,
    Turn,
    Withdrawal,
    task_position,
)
from dmoa.core.node import Node
from dmoa.core.plan import Join, Origin, Peers, Placement, Plan, Stage, layered
from dmoa.core.selection import Selection, Uniform, Weighted
from dmoa.core.streams import Stream, derive, mix64, uniform

__all__ = [
    "INSTRUCTION",
    "WHOLE_PROMPT",
    "Action",
    "Answer",
    "CancelService",
    "Content",
    "DrainStarted",
    "Event",
    "Expire",
    "Fail",
    "Join",
    "Message",
    "MessageReceived",
    "Node",
    "Options",
    "Origin",
    "PeerFound",
    "PeerLost",
    "Peers",
    "Persist",
    "Placement",
    "Plan",
    "Prefill",
    "PromptArrived",
    "Refusal",
    "Refuse",
    "Report",
    "Response",
    "Selection",
    "Send",
    "ServiceEnded",
    "ServiceFailed",
    "SetTimer",
    "Stage",
    "StartService",
    "Stream",
    "Task",
    "TaskId",
    "Template",
    "TimerFired",
    "TimerId",
    "Turn",
    "Uniform",
    "Weighted",
    "Withdrawal",
    "augment",
    "derive",
    "layered",
    "mix64",
    "task_position",
    "uniform",
]
