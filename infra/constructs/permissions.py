"""IAM roles as data: a role is a service and a list of statements, and every statement is a plain dict.

Roles carry their statements inline. That is one CloudFormation resource instead of two, nothing can be attached
to a role by accident, and the least-privilege test reads the same dicts that are deployed.
"""

from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.pseudo import account

Statement = dict[str, Any]


def allow(actions: Sequence[str], resources: Sequence[str], condition: dict | None = None) -> Statement:
    """Return one Allow statement. `resources` are ARNs; `"*"` only where an action has no resource to name."""
    statement: Statement = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**statement, "Condition": condition} if condition else statement


def deny_plain_http(resource: str, action: str) -> Statement:
    """Return the resource-policy statement that refuses callers without TLS."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": action,
        "Resource": resource,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def policy(statements: Sequence[Statement]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def service_role(
    scope: Construct,
    id: str,
    *,
    service: str,
    statements: Sequence[Statement],
    trust_condition: dict | None = None,
) -> iam.CfnRole:
    """Add a role that `service` assumes, allowed exactly `statements`."""
    trust: Statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if trust_condition:
        trust["Condition"] = trust_condition
    return iam.CfnRole(
        scope,
        id,
        assume_role_policy_document=policy([trust]),
        policies=[{"policyName": "Allowed", "policyDocument": policy(statements)}],
    )


def own_account(**more: str) -> dict[str, Any]:
    """Return the condition against the confused deputy: only on behalf of this account."""
    return {"StringEquals": {"aws:SourceAccount": account(), **more}}


def put_metrics(*namespaces: str) -> Statement:
    """Allow PutMetricData, which knows no resources, within some namespaces."""
    return allow(["cloudwatch:PutMetricData"], ["*"], {"StringEquals": {"cloudwatch:namespace": list(namespaces)}})
