"""The agent of one worker, pure: events in, effects out, by the one door `WorkerAgent.handle(event, now)`.

    agent ── orders     what the boss orders, one function each
          ├─ moves      from phase to phase, by the table in `legal`
          └─ reports    what is sent to the boss, and when, and how large it gets

`state` is all that it knows; `events` and `effects` are the contract with the loop that carries them out
(`worker.loop`, or the simulation). `check` holds every redundancy of the state against the others, `legal` tells the
last moves of an attempt.

It knows no thread, socket, process, file or clock: times come with the events. Every order may come twice, late or out
of order; whatever it reports is repeated from the attempts themselves until it is acknowledged.
"""

from worker.agent.agent import WorkerAgent
from worker.agent.state import AgentOptions

__all__ = ["WorkerAgent", "AgentOptions"]
