"""Why a job waits in Slurm, in plain English."""

from __future__ import annotations

import re

_PLAIN = {
    "Priority": "jobs with a higher priority come first",
    "Resources": "it is next, as soon as enough nodes are free",
    "None": "Slurm has not looked at it yet",
    "Dependency": "it waits for another batch job",
    "BeginTime": "it is not to begin before a time that was asked for",
    "Licenses": "all licenses that it asks for are in use",
    "Reservation": "its reservation has not begun",
    "ReqNodeNotAvail": "nodes that it needs are down, drained or reserved",
    "NodeDown": "a node that it needs is down",
    "PartitionDown": "its partition is stopped",
    "PartitionInactive": "its partition is switched off",
    "QOSMaxJobsPerUserLimit": "as many of your jobs run as its quality of service (QOS) allows",
    "QOSMaxCpuPerUserLimit": "your running jobs use all cores that its quality of service (QOS) allows",
    "QOSGrpCpuLimit": "the jobs of its quality of service (QOS) use all cores that these may use together",
    "AssocMaxJobsLimit": "as many of your jobs run as the account allows",
    "AssocGrpCpuLimit": "the jobs of the account use all cores that they may use together",
    "JobArrayTaskLimit": "as many tasks of the array run as were asked for",
    "JobHeldUser": "it is held: `scontrol release` lets it go",
    "JobHeldAdmin": "an administrator holds it",
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "PartitionNodeLimit": "it asks for more, or fewer, nodes than its partition allows",
    "PartitionConfig": "it asks for what no node of its partition has",
    "BadConstraints": "it asks for what no node has",
    "DependencyNeverSatisfied": "the batch job that it waits for did not end as it should",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its quality of service (QOS) is not valid",
    "AccountNotAllowed": "its account may not use the partition",
    "QOSNotAllowed": "its quality of service (QOS) may not use the partition or account",
    "AssocGrpCPUMinutesLimit": "the account has used up its core hours",
    "AssocGrpBillingMinutes": "the account has used up its budget",
    "MaxMemPerLimit": "it asks for more memory than is allowed",
    "AssocMaxWallDurationPerJobLimit": "it asks for more time than the account allows one job",
    "QOSMaxWallDurationPerJobLimit": "it asks for more time than its quality of service (QOS) allows one job",
}
_NEVER = {
    "JobHeldUser", "JobHeldAdmin", "PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig",
    "BadConstraints", "DependencyNeverSatisfied", "InvalidAccount", "InvalidQOS", "AccountNotAllowed",
    "QOSNotAllowed", "AssocGrpCPUMinutesLimit", "AssocGrpBillingMinutes", "MaxMemPerLimit",
}  # fmt: skip
# Limits of what a single job may ask for: it asks for too much, or too little, today as tomorrow.
_OF_ONE_JOB = re.compile(r"(QOS|Assoc)M(ax|in)\w*Per(Job|Node)\w*|QOSMin\w+|QOSUsageThreshold", re.ASCII)
# Slurm adds details behind it: "ReqNodeNotAvail, UnavailableNodes:node[1-2]".
_FIRST = re.compile(r"\w+", re.ASCII)


def explained(reason: str) -> str | None:
    """The reason in plain English, or None for one that we do not know."""
    first = _first(reason)
    if first not in _PLAIN and _OF_ONE_JOB.fullmatch(first):
        return "it asks for more, or less, than one job may have"
    return _PLAIN.get(first)


def never_starts(reason: str) -> bool:
    """Whether a job that waits for this will not start by itself."""
    first = _first(reason)
    return first in _NEVER or _OF_ONE_JOB.fullmatch(first) is not None


def _first(reason: str) -> str:
    found = _FIRST.match(reason)
    return found.group() if found else ""
