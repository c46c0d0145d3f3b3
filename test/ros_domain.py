"""A ROS domain for one test run that no other process on this machine uses.

DDS computes the UDP ports of its participants from the domain (DDSI-RTPS 2.5, section 9.6.2.3). If
all ports of a domain are free, it has no participant on this machine. A domain that is chosen
without this check may be the one of a robot.
"""
import socket

FIRST_PORT, PORTS_PER_DOMAIN = 7400, 250
# Robots usually have a low domain. The ports of domains above 100 are ephemeral ports of Linux.
CANDIDATES = range(100, 0, -1)


def reserve(candidates=CANDIDATES):
    """Return (domain, socket) of the first domain that is free; RuntimeError if there is none.

    The socket keeps the last port of the domain, which only the 120th participant would need.
    Until it is closed, or this process ends, no other test run takes this domain.
    """
    for domain in candidates:
        first = FIRST_PORT + PORTS_PER_DOMAIN * domain
        sockets = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(PORTS_PER_DOMAIN)]
        try:
            for port, bound in enumerate(sockets, first):
                bound.bind(('', port))  # without SO_REUSEADDR: fails if the port is in use
            return domain, sockets.pop()
        except OSError:
            continue
        finally:
            for bound in sockets:
                bound.close()
    raise RuntimeError('every ROS domain is in use on this machine')
