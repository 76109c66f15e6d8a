"""A CDK app made of aws-sagemaker-alpha's own constructs: two variants of one model, one of which scales.

Run by the CDK CLI; the context `archive` is the path of a model.tar.gz.
"""

import aws_cdk as cdk
import aws_cdk.aws_sagemaker_alpha as sagemaker

SCRIPT_MODE = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}


class Stack(cdk.Stack):
    def __init__(self, scope: cdk.App, name: str) -> None:
        super().__init__(scope, name)
        archive = self.node.get_context("archive")
        container = sagemaker.ContainerDefinition(
            image=sagemaker.ContainerImage.from_dlc("sagemaker-scikit-learn", "1.9-0", "683313688378"),
            model_data=sagemaker.ModelData.from_asset(archive),
            environment=SCRIPT_MODE,
        )
        model = sagemaker.Model(self, "Model", containers=[container])
        variants = [
            sagemaker.InstanceProductionVariantProps(
                model=model,
                variant_name=variant,
                initial_variant_weight=weight,
                instance_type=sagemaker.InstanceType.M5_LARGE,
            )
            for variant, weight in (("steady", 3), ("scaled", 1))
        ]
        config = sagemaker.EndpointConfig(self, "Config", instance_production_variants=variants)
        endpoint = sagemaker.Endpoint(self, "Endpoint", endpoint_config=config)
        scaled = endpoint.find_instance_production_variant("scaled")
        scaled.auto_scale_instance_count(min_capacity=1, max_capacity=2).scale_on_invocations(
            "Load", max_requests_per_second=30
        )
        scaled.metric_model_latency().create_alarm(self, "Slow", threshold=100_000, evaluation_periods=3)
        cdk.CfnOutput(self, "EndpointName", value=endpoint.endpoint_name)


app = cdk.App()
Stack(app, app.node.get_context("stack"))
app.synth()
