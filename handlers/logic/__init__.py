"""Decisions as pure functions over values and Protocols; no boto3, no environment, no event shapes."""
