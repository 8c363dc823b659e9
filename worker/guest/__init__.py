"""Bringing up a machine of ours: from nothing but its own Python to a running agent, and the agent's keeper.

Standard library only, and nothing of ours beside this package: it is in every bundle, and its first file is what a
machine has before it has a bundle.
"""
