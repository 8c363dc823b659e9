"""Does the boss answer HTTP where this machine was given its address, and what does its clock say? Is the broker there,
does it let this worker in, and is a boss behind it?
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import queue
import secrets
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from wire.codec import WireError, decode
from wire.link import (
    Connected,
    Disconnected,
    Link,
    LinkError,
    LinkEvent,
    LinkOptions,
    Received,
    SubscriptionRefused,
)
from wire.messages import Presence
from wire.tls import tls_options
from wire.topics import Topics
from worker.debug.finding import Finding
from worker.options import WorkerOptions, own_address

CONNECT_SECONDS = 5.0
LOGIN_SECONDS = 15.0
PRESENCE_SECONDS = 3.0
BOSS_SECONDS = 5.0


def look_at_boss(url: str) -> tuple[Finding, float | None]:
    """And its clock in seconds since 1970, if known. Without a token: that it refuses is answer enough."""
    name, did = f"boss address {url}", f"GET {url}/openapi.json"
    remedy = (
        "start the boss; let it listen on this network (its setting http_host); look for a firewall between; check "
        "boss_address in its settings"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/openapi.json", timeout=BOSS_SECONDS) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        with error:
            headers = error.headers
        if error.code not in (401, 403, 429):
            sentence = f"what answers there is no boss: {error.code} {error.reason}"
            return Finding(name, "FAILED", sentence, remedy, did), None
        if error.code == 403:
            sentence = "it is not called so: the address is none of its names"
            return Finding(name, "FAILED", sentence, "set boss_address in its settings to this name", did), None
    except (OSError, ValueError, http.client.HTTPException) as error:
        sentence = str(getattr(error, "reason", None) or error)
        return Finding(name, "FAILED", sentence, remedy, did), None
    return Finding(name, "ok", did=did), _time(headers.get("date", ""))


def _time(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def check_broker(options: WorkerOptions) -> Iterator[Finding]:
    """In order; what cannot be known without the step before is left out."""
    yield (network := _network(options))
    if network.state == "FAILED":
        return
    yield (broker := _broker(options))
    if broker.state == "FAILED":
        return
    yield from _login_and_boss(options)


def _network(options: WorkerOptions) -> Finding:
    host = options.broker_host
    did = f"getent hosts {host}; ip route get {host}"
    try:
        address = own_address(host, options.broker_port)
    except OSError as error:
        remedy = "check the name (ECLOUD_BROKER_HOST), the name server, the address and the route of this machine"
        return Finding("network", "FAILED", f"{host} cannot be reached: {error.strerror or error}", remedy, did)
    return Finding("network", "ok", f"this machine speaks to {host} as {address}", did=did)


def _broker(options: WorkerOptions) -> Finding:
    place = f"{options.broker_host}:{options.broker_port}"
    name, did = f"broker at {place}", f"connect to {place}"
    try:
        socket.create_connection((options.broker_host, options.broker_port), CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        remedy = "start the broker; let it listen on this network (the boss's setting broker_listen); check the port"
        return Finding(name, "FAILED", "connection refused", remedy, did)
    except OSError as error:
        remedy = "look for a firewall between, and check ECLOUD_BROKER_HOST and ECLOUD_BROKER_PORT"
        return Finding(name, "FAILED", str(error.strerror or error), remedy, did)
    return Finding(name, "ok", did=did)


def _login_and_boss(options: WorkerOptions) -> Iterator[Finding]:
    name = f"login as {options.username}"
    did = f"log in at the broker, read {Topics(options.mqtt_prefix).boss_presence}"
    events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
    try:
        link = Link(_link_options(options), events.put)
    except LinkError as error:
        yield Finding(name, "FAILED", str(error), "mend the option that is named", did)
        return
    topics = Topics(options.mqtt_prefix)
    link.subscribe(topics.orders(options.id))
    link.subscribe(topics.boss_presence)
    link.start()
    try:
        failure = _wait_for_login(events)
        if failure:
            remedy = (
                "on the boss's machine: admin.py login NAME makes the login and prints the password, which belongs "
                "into the file that ECLOUD_WORKER_PASSWORD_FILE names; at another broker: its access list"
            )
            yield Finding(name, "FAILED", failure, remedy, did)
            return
        yield Finding(name, "ok", did=did)
        yield _boss(options, _wait_for_presence(events, topics.boss_presence))
    finally:
        link.stop(1.0)


def _events_of(events: queue.SimpleQueue[LinkEvent], seconds: float) -> Iterator[LinkEvent]:
    """What the link reports within so many seconds."""
    until = time.monotonic() + seconds
    with contextlib.suppress(queue.Empty):
        while (left := until - time.monotonic()) > 0:
            yield events.get(timeout=left)


def _wait_for_login(events: queue.SimpleQueue[LinkEvent]) -> str:
    """Empty: logged in, and its topics may be read. Else why not."""
    for event in _events_of(events, LOGIN_SECONDS):
        if isinstance(event, Connected):
            return ""
        if isinstance(event, Disconnected):
            return event.reason
        if isinstance(event, SubscriptionRefused):
            return f"the broker does not let it read {event.topic}"
    return f"no answer within {LOGIN_SECONDS:g} s"


def _wait_for_presence(events: queue.SimpleQueue[LinkEvent], topic: str) -> bytes:
    for event in _events_of(events, PRESENCE_SECONDS):
        if isinstance(event, Received) and event.topic == topic:
            return event.payload
    return b""


def _boss(options: WorkerOptions, payload: bytes) -> Finding:
    remedy = "start the boss; check that ECLOUD_MQTT_PREFIX is the boss's mqtt_prefix"
    try:
        presence = decode(payload, Presence) if payload else None
    except WireError as error:
        return Finding("boss", "FAILED", f"what stands under its name is not of a boss: {error}", remedy)
    if presence is None:
        return Finding("boss", "FAILED", f"none was ever at this broker under {options.mqtt_prefix!r}", remedy)
    if not presence.online:
        return Finding("boss", "FAILED", "it is not connected to the broker at present", "start the boss")
    if options.deployment and presence.deployment != options.deployment:
        return Finding(
            "boss",
            "FAILED",
            f"it is of the deployment {presence.deployment}, and this worker belongs to {options.deployment}",
            "give the worker the files of this boss (admin.py login), and an empty home",
        )
    return Finding("boss", "ok", f"online, deployment {presence.deployment}, epoch {presence.epoch}")


def _link_options(options: WorkerOptions) -> LinkOptions:
    return LinkOptions(
        host=options.broker_host,
        port=options.broker_port,
        client_id=f"{options.id}-debug-{secrets.token_hex(4)}",  # the agent itself stays connected
        username=options.username,
        password=options.password,
        tls=tls_options(options.tls_ca, options.tls_certificate, options.tls_key),
        connect_seconds=CONNECT_SECONDS,
    )
