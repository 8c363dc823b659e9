"""Workers as virtual machines of an OpenNebula cloud, by its XML-RPC interface (pyone).

`faults` says what an error means, `machines` what a virtual machine's states mean, `template` what an instance is made
from, `room` and `patience` how many more there may be and how long one may wait; all of these are pure. `client` makes
calls that end, with the token that `login` keeps; `provider` keeps what was asked for and what is listed alike, `cards`
does the same for further network cards; `make` makes a provider from a pool's settings.
"""
