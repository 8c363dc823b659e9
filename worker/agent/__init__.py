"""The pure part of a worker: `Agent.handle(event, now)` returns effects. See `worker.agent.agent`."""

from worker.agent.agent import Agent
from worker.agent.state import Options

__all__ = ["Agent", "Options"]
