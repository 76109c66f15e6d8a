"""From a specification to the handlers' card."""

from pathlib import Path

from handlers.contract.card import Feature, ModelCard
from turnout.config import to_card

VALID = Path(__file__).parent / "valid"


def test_the_card_carries_what_the_handlers_need(read):
    spec = read((VALID / "everything.yaml").read_text()).models["churn"]
    card = to_card(spec, input_uri="s3://my-bucket/customers/")
    assert card == ModelCard(
        model="churn",
        key="customer_id",
        key_type="string",
        features=[
            Feature("recency", "float", nullable=True, minimum=0, maximum=400),
            Feature("segment", "string", pattern="[a-z]+"),
            Feature("level", "integer", values=[1, 2, 3]),
            Feature("active", "boolean", values=[True]),
        ],
        input_uri="s3://my-bucket/customers/",
        input_format="jsonlines",
        prediction="risk",
        wire_format="jsonlines",
        max_payload_mb=20,
        pass_key_to_model=True,
        instance_count=4,
        max_bad_fraction=0.05,
        retention_seconds=90 * 86400,
        max_staleness_seconds=36 * 3600,
        score_precision="float32",
        description="Who leaves.",
        tags={"team": "growth", "cost centre": "0042", "größe": "kleine"},
    )


def test_a_card_survives_json(read):
    card = to_card(read((VALID / "minimal.yaml").read_text()).models["churn"], input_uri="input/churn/")
    assert ModelCard.from_json(card.to_json()) == card


def test_the_defaults_of_card_and_configuration_agree(read):
    spec = read((VALID / "minimal.yaml").read_text()).models["churn"]
    card = to_card(spec, input_uri="input/churn/")
    bare = ModelCard("churn", "customer_id", card.features, "input/churn/", "string", prediction="churn_probability")
    assert card == bare
