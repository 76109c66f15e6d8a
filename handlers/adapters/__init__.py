"""One AWS service per module; the only modules of `handlers` that import boto3."""
