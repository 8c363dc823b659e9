"""The pure part of a worker: `WorkerAgent.handle(event, now)` returns effects. See `worker.agent.agent`."""

from worker.agent.agent import WorkerAgent
from worker.agent.state import AgentOptions

__all__ = ["WorkerAgent", "AgentOptions"]
