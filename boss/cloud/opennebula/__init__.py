"""Workers as virtual machines of an OpenNebula cloud, by its XML-RPC interface (pyone).

`faults` says what an error means, `machines` what a virtual machine's states mean, `template` what an instance is made
from; all three are pure. `client` makes calls that end; `provider` keeps what was asked for and what is listed alike.
"""
