"""Deployments of which one program is killed at one exact place."""
