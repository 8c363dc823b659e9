"""Hosts for tests: machines made of namespaces on this one, on a network of their own; root and a Linux 6 are needed.

    with network() as net:
        first, second = net.hosts("w1", "w2")
        first.authorize(net.public_key)
        assert first.run(["hostname"]) == "w1"
        net.limit(first, 100)
        net.cut(second)

Knows nothing of boss, worker or datastore but which of our folders each of them consists of (`bundle`).
"""

from tests.worlds.hosts.host import AGENT, HOME, PYTHON, USER, Host, HostFault, Program
from tests.worlds.hosts.network import Network, network
from tests.worlds.hosts.proxy import Proxy

__all__ = ["network", "Network", "Host", "Program", "HostFault", "Proxy", "USER", "HOME", "AGENT", "PYTHON"]
