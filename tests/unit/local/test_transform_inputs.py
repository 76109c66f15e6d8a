"""What a job reads, what it is called in the output, which instance gets it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.local.sagemaker.transform.capture import manifests
from turnout.local.sagemaker.transform.errors import JobFailed
from turnout.local.sagemaker.transform.inputs import (
    InputObject,
    Inputs,
    deal,
    location,
    manifest_inputs,
    output_key,
    output_name,
)

URI = "s3://lists/today.manifest"


@pytest.mark.parametrize(
    ("key", "prefix", "output", "expected"),
    [
        ("in/a.csv", "in/", "out/", "out/a.csv.out"),
        ("in/a.csv", "in/", "out", "out/a.csv.out"),
        ("in/a.csv", "in", "out/", "out/a.csv.out"),
        ("in/sub/b.csv", "in/", "out/", "out/sub/b.csv.out"),
        ("in/a.csv", "in/a.csv", "out/", "out/a.csv.out"),
        ("in/part-1.csv", "in/part-", "out/", "out/part-1.csv.out"),
        ("input_old/a.csv", "input", "out/", "out/input_old/a.csv.out"),
        ("in/a b+é.csv.gz", "in/", "out/", "out/a b+é.csv.gz.out"),
        ("a.csv", "", "", "a.csv.out"),
    ],
)
def test_the_output_name_keeps_the_folder_below_the_input_prefix(key, prefix, output, expected):
    assert output_key(output_name(key, prefix), output) == expected


def manifest(*entries) -> bytes:
    return json.dumps(entries).encode()


def test_a_manifest_names_objects_by_prefix_and_suffix_in_its_order():
    inputs = manifest_inputs(manifest({"prefix": "s3://data/some/"}, "b/2.csv", "1.csv", "b/2.csv"), URI)
    assert inputs == Inputs(
        "data",
        "some/",
        [InputObject("data", "some/b/2.csv", "b/2.csv"), InputObject("data", "some/1.csv", "1.csv")],
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"s3://data/1.csv\n", "is not JSON"),
        (b'[{"prefix": "s3://d/"}, "a"', "is not JSON"),
        (b'{"prefix": "s3://d/"}', "must be a list that begins with"),
        (b"[]", "must be a list that begins with"),
        (b'["a", "b"]', "must be a list that begins with"),
        (b'[{"prefix": "/data/"}, "a"]', "must be a list that begins with"),
        (b'[{"prefix": "s3:///key"}, "a"]', "is not an s3:// URI"),
        (b'[{"prefix": "s3://d/"}]', "names no objects"),
        (b'[{"prefix": "s3://d/"}, {"source-ref": "s3://d/a"}]', "which is no path"),
        (b'[{"prefix": "s3://d/"}, ""]', "which is no path"),
    ],
)
def test_a_broken_manifest_fails_the_job_with_what_is_wrong(data, message):
    with pytest.raises(JobFailed, match=message):
        manifest_inputs(data, URI)


def test_a_uri_that_is_not_s3_fails_the_job():
    with pytest.raises(JobFailed, match=r"^ClientError: 'https://b/k' is not an s3:// URI"):
        location("https://b/k")


names = st.lists(st.text(min_size=1, max_size=5), unique=True, max_size=20)


@given(names, st.integers(1, 8))
def test_each_object_goes_to_one_instance_and_the_shares_are_even(names, instances):
    objects = [InputObject("b", name, name) for name in names]
    shares = deal(objects, instances)
    assert sorted(o for share in shares for o in share) == sorted(objects)
    assert len(shares) == min(instances, len(objects))
    assert all(len(shares[0]) - len(share) in (0, 1) for share in shares)


def test_captured_data_is_a_manifest_of_each_side_by_the_hour():
    inputs = Inputs("data", "in/", [InputObject("data", "in/x/a.csv", "x/a.csv"), InputObject("data", "in/b", "b")])
    found = {path.rpartition("/")[0]: json.loads(body) for path, body in manifests(inputs, "s3://data/out", 3600 * 30)}
    assert found == {
        "input/1970/01/02/06": [{"prefix": "s3://data/in/"}, "x/a.csv", "b"],
        "output/1970/01/02/06": [{"prefix": "s3://data/out/"}, "x/a.csv.out", "b.out"],
    }
