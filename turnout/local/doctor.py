"""What the local cloud will not do of a CloudFormation template: types that it has not, properties that it ignores.

That a property is ignored is read off the code that would handle it (`reads.py`), not off a list; only for what is
kept without acting on it there is a table, `KEPT`, because no code shows that. Properties of the types that are this
package's own are requests to its services: such a member counts as kept when no code of the package names it.
"""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from turnout.errors import UserError
from turnout.local import emulator, shifting
from turnout.local.autoscaling import checks
from turnout.local.reads import Reads
from turnout.local.sagemaker import api, registry, validation
from turnout.local.sagemaker.hosting import kinds
from turnout.local.sagemaker.refusals import NO_VALUE, Refusal, is_intrinsic, sides

MISSING, IGNORED, KEPT_ONLY, UNCHECKED = "missing", "ignored", "kept", "unchecked"
#: Most serious first. `missing` fails the deployment; `ignored` is never read; `kept` is stored and given back.
SEVERITIES = (MISSING, IGNORED, KEPT_ONLY, UNCHECKED)
STRICT = frozenset({MISSING, IGNORED})

PathOfProperty = tuple[str, ...]

#: Attributes of resources, beside their properties, that nothing acts on; a wait condition obeys its CreationPolicy.
ATTRIBUTES = {
    "CreationPolicy": "the stack does not wait for signals",
    "UpdatePolicy": "the resource is updated at once",
}
OBEYED = {("AWS::CloudFormation::WaitCondition", "CreationPolicy"), ("AWS::Lambda::Alias", "UpdatePolicy")}
TRANSFORMS = {"AWS::LanguageExtensions", "AWS::Include", "AWS::Serverless-2016-10-31"}
LOOP = "Fn::ForEach"
#: Types whose properties are anyone's: a function is given them, or nobody.
PASSED_ON = {"AWS::CloudFormation::CustomResource", "AWS::CDK::Metadata"}
#: This package's own types -> the service and the operation whose request their properties are.
REQUESTS = {
    "AWS::SageMaker::Model": ("sagemaker", "CreateModel"),
    "AWS::SageMaker::EndpointConfig": ("sagemaker", "CreateEndpointConfig"),
    "AWS::SageMaker::Endpoint": ("sagemaker", "CreateEndpoint"),
    "AWS::SageMaker::ModelPackage": ("sagemaker", "CreateModelPackage"),
    "AWS::SageMaker::ModelPackageGroup": ("sagemaker", "CreateModelPackageGroup"),
    "AWS::ApplicationAutoScaling::ScalableTarget": ("application-autoscaling", "RegisterScalableTarget"),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ("application-autoscaling", "PutScalingPolicy"),
}

#: Own types that are kept as they are written -> the properties that have an effect.
HEEDED = {
    "AWS::CodeDeploy::Application": {"ApplicationName", "ComputePlatform"},
    "AWS::CodeDeploy::DeploymentGroup": {
        "ApplicationName",
        "DeploymentGroupName",
        "DeploymentConfigName",
        "DeploymentStyle",
        "AutoRollbackConfiguration",
        "AlarmConfiguration",
    },
}

#: Type -> what the services refuse by name of its properties although AWS takes it.
REFUSED: dict[str, tuple[Refusal, ...]] = {
    "AWS::SageMaker::Model": api.REFUSED,
    "AWS::SageMaker::EndpointConfig": kinds.REFUSED,
    "AWS::SageMaker::ModelPackage": (*registry.REFUSED, *registry.UNUSABLE, *api.REFUSED_OF_PACKAGES),
    "AWS::ApplicationAutoScaling::ScalableTarget": checks.REFUSED_TARGETS,
    "AWS::ApplicationAutoScaling::ScalingPolicy": (*checks.REFUSED_TARGETS, *checks.REFUSED_POLICIES),
    "AWS::CodeDeploy::Application": shifting.REFUSED_APPLICATIONS,
    "AWS::CodeDeploy::DeploymentGroup": shifting.REFUSED_GROUPS,
}
#: Type -> what is refused of its UpdatePolicy.
REFUSED_UPDATES: dict[str, tuple[Refusal, ...]] = {"AWS::Lambda::Alias": shifting.REFUSED_UPDATES}

PLAIN = "data lie in plain text in the local cloud's memory"
#: Policies are not among them: whether they are enforced is how the whole cloud was started (AUTH=true).
#: type -> property -> what becomes of it, for properties that are stored and given back and change nothing else.
KEPT: dict[str, dict[str, str]] = {
    "AWS::DynamoDB::Table": {
        "ProvisionedThroughput": "capacity is not limited",
        "OnDemandThroughput": "capacity is not limited",
        "TableClass": "it changes prices only",
        "SSESpecification": PLAIN,
        "DeletionProtectionEnabled": "CloudFormation deletes the table all the same",
    },
    "AWS::KMS::Key": {"EnableKeyRotation": "keys do not rotate"},
    "AWS::Kinesis::Stream": {"StreamEncryption": PLAIN},
    "AWS::Lambda::EventSourceMapping": {"ParallelizationFactor": "one batch of a shard at a time"},
    "AWS::Lambda::Function": {
        "Architectures": "the function runs on this machine",
        "EphemeralStorage": "temporary space is not limited",
        "MemorySize": "memory is not limited",
        "Runtime": "functions run on this machine's Python",
        "TracingConfig": "no traces are written",
    },
    "AWS::Lambda::Version": {"ProvisionedConcurrencyConfig": "environments start when they are needed"},
    "AWS::Logs::LogGroup": {"RetentionInDays": "logs are kept until the local cloud ends", "KmsKeyId": PLAIN},
    "AWS::S3::Bucket": {
        "BucketEncryption": PLAIN,
        "LifecycleConfiguration": "objects neither expire nor change their class",
        "LoggingConfiguration": "no access logs are written",
    },
    "AWS::SQS::Queue": {"KmsMasterKeyId": PLAIN, "SqsManagedSseEnabled": PLAIN},
    "AWS::SageMaker::EndpointConfig": {
        "AsyncInferenceConfig.OutputConfig.KmsKeyId": PLAIN,
        "DataCaptureConfig.KmsKeyId": PLAIN,
        "EnableNetworkIsolation": "that of each model holds",
        "ExecutionRoleArn": "that of each model holds",
        "KmsKeyId": PLAIN,
        "ProductionVariants.InstanceType": "every instance is this machine",
        "VpcConfig": "containers are processes on this machine",
    },
    "AWS::SageMaker::Model": {
        "EnableNetworkIsolation": "containers reach the network",
        "VpcConfig": "containers are processes on this machine",
    },
    "AWS::Scheduler::Schedule": {"FlexibleTimeWindow": "schedules fire at their time", "KmsKeyArn": PLAIN},
    "AWS::StepFunctions::StateMachine": {"EncryptionConfiguration": PLAIN},
}


@dataclass(frozen=True)
class Finding:
    """One thing that the local cloud does not do as AWS does: where it stands and what happens instead."""

    resource: str
    type: str
    property: str
    severity: str
    meaning: str

    def to_body(self) -> dict[str, str]:
        return asdict(self)


class NoTemplate(UserError):
    """What was given is no CloudFormation template; the message says why."""


def read(source: str, cloudformation: Callable[[], Any]) -> dict[str, dict[str, Any]]:
    """Return the templates that `source` names, by name: a file, a folder of them (`cdk.out`), or a deployed stack.

    `cloudformation` makes a client of the local cloud. Raises NoTemplate.
    """
    path = Path(source)
    if path.is_dir():
        files = sorted(path.rglob("*.template.json"))
        if not files:
            raise NoTemplate(f"{source} holds no *.template.json.", "Synthesise first: cdk synth.")
        return {str(file.relative_to(path)): _template(file) for file in files}
    if path.exists() or not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", source):
        return {path.name: _template(path)}
    return {source: _template_of_stack(cloudformation(), source)}


def _template(file: Path) -> dict[str, Any]:
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise NoTemplate(f"{file} cannot be read: {error}.") from error
    except NoTemplate as error:
        raise NoTemplate(f"{file} is {error.message}") from error


def _template_of_stack(cloudformation: Any, name: str) -> dict[str, Any]:
    """Return a deployed stack's template, its transforms applied."""
    from botocore.exceptions import ClientError

    try:
        body = cloudformation.get_template(StackName=name, TemplateStage="Processed")["TemplateBody"]
    except ClientError as error:
        raise NoTemplate(f"{name} is neither a file, nor a folder, nor a stack of the local cloud.") from error
    return parse(body if isinstance(body, str) else json.dumps(body))


def parse(text: str) -> dict[str, Any]:
    """Return a template from its JSON or YAML. Raises NoTemplate."""
    try:
        template = emulator.parse_template(text)
    except Exception as error:  # the reader's own errors differ for JSON and YAML
        raise NoTemplate(f"no CloudFormation template: {error}.") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise NoTemplate("no CloudFormation template: it has no Resources.")
    for name, resource in template["Resources"].items():
        if not str(name).startswith(LOOP):
            _check_resource(name, resource)
    return template


def _check_resource(name: Any, resource: Any) -> None:
    """Raise NoTemplate, which names the resource, for one that no CloudFormation takes."""
    problem = ""
    if not isinstance(name, str):
        problem = "its name is no text"
    elif not isinstance(resource, dict):
        problem = "it is no mapping"
    elif not isinstance(resource.get("Type"), str):
        problem = "its Type is no text" if "Type" in resource else "it has no Type"
    elif not isinstance(resource.get("Properties") or {}, dict):
        problem = "its Properties are no mapping"
    if problem:
        raise NoTemplate(f"no CloudFormation template: of the resource {name}, {problem}.")


def examine(template: Mapping[str, Any]) -> list[Finding]:
    """Return every finding of a template, by resource, most serious first."""
    found = list(_transforms(template))
    for name, resource in template["Resources"].items():
        if name.startswith(LOOP):
            found.append(
                Finding(name, LOOP, "", UNCHECKED, "a loop makes resources of it: deploy, and ask for the stack")
            )
        else:
            found += sorted(_resource(name, resource), key=lambda f: (SEVERITIES.index(f.severity), f.property))
    return found


def _transforms(template: Mapping[str, Any]) -> Iterator[Finding]:
    declared = template.get("Transform") or []
    for name in declared if isinstance(declared, list) else [declared]:
        if isinstance(name, str) and name not in TRANSFORMS:
            yield Finding("Transform", name, "", MISSING, "there is no such macro; the deployment fails")


def _resource(name: str, resource: Mapping[str, Any]) -> Iterator[Finding]:
    kind = resource["Type"]
    if kind.startswith("Custom::"):
        return
    if kind.startswith("AWS::Serverless::"):
        yield Finding(name, kind, "", UNCHECKED, "the transform makes other types of it: deploy, and ask for the stack")
        return
    if kind not in emulator.known_types():
        yield Finding(name, kind, "", MISSING, "there is no such type here; the deployment fails")
        return
    for attribute, meaning in ATTRIBUTES.items():
        if attribute in resource and (kind, attribute) not in OBEYED:
            yield Finding(name, kind, attribute, IGNORED, meaning)
    properties = resource.get("Properties") or {}
    refused = {".".join(path): meaning for path, meaning in _refused(kind, resource)}
    for path, meaning in refused.items():
        yield Finding(name, kind, path, MISSING, meaning)
    for path, severity, meaning in dict.fromkeys(_unread(kind, properties)):
        if not any(".".join(path[:length]) in refused for length in range(len(path) + 1)):
            yield Finding(name, kind, ".".join(path), severity, meaning)
    present = {".".join(path) for path in paths(properties)}
    for path, meaning in KEPT.get(kind, {}).items():
        if path in present:
            yield Finding(name, kind, path, KEPT_ONLY, meaning)


def _refused(kind: str, resource: Mapping[str, Any]) -> Iterator[tuple[PathOfProperty, str]]:
    """Yield what the services refuse by name of a resource, and what comes of it."""
    for where, table, above in (("Properties", REFUSED, ()), ("UpdatePolicy", REFUSED_UPDATES, ("UpdatePolicy",))):
        for refusal in table.get(kind, ()):
            if words := refusal.found(resource.get(where) or {}):
                end = "what uses it fails" if refusal.of_use else "the deployment fails"
                yield (*above, *refusal.path), f"{words}; {end}"


def _unread(kind: str, properties: Any) -> Iterator[tuple[PathOfProperty, str, str]]:
    """Yield the topmost parts of a resource's properties that nothing reads, and what comes of each."""
    if kind in REQUESTS:
        service, operation = REQUESTS[kind]
        yield from _unnamed(kind, properties, validation.input_shape(operation, service), ())
    elif kind in HEEDED:
        yield from (((key,), IGNORED, "nothing reads it") for key in properties if key not in HEEDED[kind])
    elif kind not in PASSED_ON:
        found = emulator.reads_of_type(kind)
        if found.uses(()):
            yield (), UNCHECKED, "its code cannot be followed; what it ignores is not known"
        for path in _topmost(properties, found, ()):
            yield path, IGNORED, "nothing reads it"


def _topmost(value: Any, found: Reads, path: PathOfProperty) -> Iterator[PathOfProperty]:
    for key, part in members(value):
        below = (*path, key)
        if not found.reads(below):
            yield below
        elif not found.uses(below):
            yield from _topmost(part, found, below)


def _unnamed(kind: str, value: Any, shape: Any, path: PathOfProperty) -> Iterator[tuple[PathOfProperty, str, str]]:
    """Walk a request beside its shape: what the shape has not is refused, what no code names has no effect."""
    while shape.type_name == "list":
        shape = shape.member
    if shape.type_name != "structure":
        return
    for key, part in members(value):
        below = (*path, key)
        if ".".join(below) in KEPT.get(kind, {}):
            continue
        if key not in shape.members:
            if path or key not in named_here():  # some properties are of CloudFormation alone, or of another operation
                yield below, MISSING, "there is no such property; the deployment fails"
        elif key not in named_here():
            yield below, KEPT_ONLY, "nothing acts on it"
        else:
            yield from _unnamed(kind, part, shape.members[key], below)


def paths(value: Any, path: PathOfProperty = ()) -> Iterator[PathOfProperty]:
    """Yield the path of every property that is there; the elements of a list have the list's path."""
    for key, part in members(value):
        yield (*path, key)
        yield from paths(part, (*path, key))


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the members of a value, of its elements, and of both sides of a condition; what is computed has none."""
    if isinstance(value, list):
        for element in value:
            yield from members(element)
    elif isinstance(value, Mapping):
        if "Fn::If" in value:
            yield from members(sides(value))
        elif not is_intrinsic(value):
            yield from ((str(key), part) for key, part in value.items() if part != NO_VALUE)


@lru_cache
def named_here() -> frozenset[str]:
    """Return every text in this package's SageMaker and autoscaling: a member that none of it names has no effect."""
    folder = Path(__file__).parent
    files = [*(folder / "sagemaker").rglob("*.py"), *(folder / "autoscaling").rglob("*.py")]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def areas(template: Mapping[str, Any]) -> list[str]:
    """Return the parts of the local cloud that a template uses and of which there is something to say in general."""
    kinds = {resource["Type"] for resource in template["Resources"].values() if isinstance(resource, Mapping)}
    return [
        area for area, prefixes in emulator.AREAS.items() if prefixes and any(k.startswith(prefixes) for k in kinds)
    ]


def strictly(findings: Iterable[Finding]) -> bool:
    """Whether a template passes `--strict`: nothing missing, nothing ignored."""
    return not any(finding.severity in STRICT for finding in findings)
