"""Batch Transform: what happens to an object's bytes.

inputs -> deal -> objects (S3 to disk) -> splitting -> sending -> assembling -> objects (disk to S3). Only `inputs` and
`objects` speak to S3, and only through the client that they are given; docs/batch-transform.md has every rule.
"""
