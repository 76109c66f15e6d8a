"""What CreateTransformJob refuses beyond the shape of a request."""

import pytest

from turnout.local.sagemaker.errors import Invalid, NotEmulated
from turnout.local.sagemaker.transform.checks import check_transform


def job(kind="S3Prefix", split="Line", content="text/csv", accept="text/csv", assemble="Line", count=1, **request):
    return {
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": "s3://b/in/"}},
            "ContentType": content,
            "SplitType": split,
        },
        "TransformOutput": {"S3OutputPath": "s3://b/out/", "Accept": accept, "AssembleWith": assemble},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": count},
        **request,
    }


JOIN, OUTPUT_FILTER = {"JoinSource": "Input"}, {"OutputFilter": "$[0]"}
CAPTURE = {"DestinationS3Uri": "s3://b/c", "GenerateInferenceId": True}


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (job("AugmentedManifestFile"), Invalid, "AugmentedManifestFile is not supported"),
        (job("Converse"), NotEmulated, "Converse is not emulated"),
        (job(MaxPayloadInMB=101), Invalid, "must not exceed 100 MB; it is 101 MB"),
        (job(MaxPayloadInMB=26, MaxConcurrentTransforms=4), Invalid, "it is 104 MB"),
        (job(MaxConcurrentTransforms=17), Invalid, "it is 102 MB"),
        (job(count=101), Invalid, "InstanceCount must not exceed 100"),
        (job(split="None", BatchStrategy="MultiRecord"), Invalid, "needs SplitType"),
        (job(DataProcessing={"InputFilter": "$.a..b"}), Invalid, "InputFilter: JSONPath"),
        (job(DataProcessing={"OutputFilter": "id"}), Invalid, "OutputFilter: JSONPath 'id' must start with"),
        (job(DataProcessing=JOIN, content="image/png"), Invalid, "DataProcessing needs ContentType text/csv"),
        (job(DataProcessing=JOIN, accept="application/json"), Invalid, "to be equal"),
        (job(DataProcessing=JOIN, split="None"), Invalid, "text/csv needs SplitType Line"),
        (job(DataProcessing={"InputFilter": "$[1:]"}, split="None"), Invalid, "text/csv needs SplitType Line"),
        (job(DataProcessing=JOIN, assemble="None"), Invalid, "need AssembleWith Line"),
        (job(DataProcessing=OUTPUT_FILTER, assemble="None"), Invalid, "need AssembleWith Line"),
        (job(DataProcessing=OUTPUT_FILTER, accept=None), Invalid, "OutputFilter needs Accept text/csv"),
        (job(split="RecordIO", DataProcessing=JOIN), Invalid, "SplitType None or Line, not RecordIO"),
        (job(accept="image/png", DataCaptureConfig=CAPTURE), Invalid, "GenerateInferenceId needs Accept"),
    ],
)
def test_what_does_not_fit_together_is_refused(request_, error, message):
    with pytest.raises(error, match=message):
        check_transform(request_)


@pytest.mark.parametrize(
    "request_",
    [
        job("ManifestFile"),
        job(split="RecordIO", content="application/x-recordio-protobuf", BatchStrategy="MultiRecord"),
        job(split="TFRecord", BatchStrategy="SingleRecord"),
        job(MaxPayloadInMB=100, MaxConcurrentTransforms=1),
        job(MaxPayloadInMB=100, MaxConcurrentTransforms=0),
        job(MaxPayloadInMB=0, MaxConcurrentTransforms=64),
        job(count=100),
        job(content="text/csv; charset=utf-8", DataProcessing=JOIN),
        job(split="None", content="application/json", accept="application/json", assemble="None", DataProcessing=JOIN),
        job(DataProcessing={"InputFilter": "$[1:]"}, assemble="None"),
        job(content="image/png", DataProcessing={"InputFilter": "$", "JoinSource": "None"}),
        job(DataCaptureConfig=CAPTURE),
    ],
)
def test_what_fits_together_is_taken(request_):
    check_transform(request_)
