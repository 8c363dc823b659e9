"""Simulation: the real scheduler, agents and codec under a virtual clock and a hostile world."""
