"""The numbers of EPANET's toolkit that are used here, under readable names. Nothing but constants."""

from __future__ import annotations

#: What a project can be asked to count.
COUNT_NODES = 0
COUNT_LINKS = 2

#: Kinds of nodes and links, by EPANET's number.
NODE_TYPES = ("junction", "reservoir", "tank")
LINK_TYPES = ("pipe", "pipe", "pump", "valve", "valve", "valve", "valve", "valve", "valve", "valve")
CHECK_VALVE = 0

#: Values of nodes.
NODE_EMITTER = 3
NODE_PRESSURE = 11

#: Values of links.
LINK_ROUGHNESS = 2
LINK_INITIAL_STATUS = 4
LINK_INITIAL_SETTING = 5

#: What is set, as sentences name it.
NODE_NAMES = {NODE_EMITTER: "emitter coefficient"}
LINK_NAMES = {LINK_ROUGHNESS: "roughness", LINK_INITIAL_STATUS: "status", LINK_INITIAL_SETTING: "setting"}

#: Times.
TIME_DURATION = 0
TIME_HYDRAULIC_STEP = 1
TIME_QUALITY_STEP = 2
TIME_PATTERN_STEP = 3
TIME_REPORT_STEP = 5
TIME_REPORT_START = 6
TIME_RULE_STEP = 7

#: Options.
OPTION_DEMAND_MULTIPLIER = 4
OPTION_PRESSURE_UNITS = 25

#: Begin hydraulics with fresh link flows and save no file of them.
FRESH_FLOWS_NO_FILE = 10

CANNOT_OPEN_INPUT = 302
ILLEGAL_INPUT = 200

FLOW_UNITS = ("CFS", "GPM", "MGD", "IMGD", "AFD", "LPS", "LPM", "MLD", "CMH", "CMD", "CMS")
PRESSURE_UNITS = ("psi", "kPa", "m", "bar", "ft")
#: Flow units up to this one make all other quantities US customary.
LAST_US_FLOW_UNIT = 4

#: What can be kept of each time step: the name, EPANET's number and the quantity that gives the unit.
NODE_VARIABLES = {
    "pressure": (11, "pressure"),
    "head": (10, "length"),
    "demand": (9, "flow"),
    "quality": (12, "quality"),
    "emitter_flow": (29, "flow"),
}
LINK_VARIABLES = {
    "flow": (8, "flow"),
    "velocity": (9, "velocity"),
    "headloss": (10, "headloss"),
    "status": (11, "none"),
    "setting": (12, "setting"),
}
QUALITY_NAMES = ("none", "chemical", "age", "trace")
