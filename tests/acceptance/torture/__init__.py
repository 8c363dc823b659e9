"""The kill -9 suite's parts: a deployment of real processes, a load, a killer, and what must hold afterwards."""
