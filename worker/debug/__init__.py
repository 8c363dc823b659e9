"""A look at a worker's machine: each thing that an agent needs, whether it is there, and what to do if it is not.

Run by worker/debug.sh as `python -m worker.debug`, with the options of the agent; changes nothing but a file that it
removes again. Knows what an agent needs; decides nothing.
"""
