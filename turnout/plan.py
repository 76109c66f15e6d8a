"""What a deploy would change, one step per model: the serving mode in the file against the one that is deployed."""

from dataclasses import asdict, dataclass

from handlers.contract.modes import ServingMode


@dataclass(frozen=True)
class ModeEffect:
    """What a mode means for clients and for the pipeline, in sentences that a plan can print."""

    lookups: str
    pipeline: str
    first_answer: str = ""  # what clients meet between the switch and the first run


#: One line per mode that can be deployed; a test compares the keys with `AVAILABLE`.
EFFECTS = {
    ServingMode.BATCH: ModeEffect(
        lookups="prediction requests get 409 with the place of the Parquet results",
        pipeline="each run writes Parquet results; nothing is kept in the table",
    ),
    ServingMode.PRECOMPUTE: ModeEffect(
        lookups="prediction requests by key are answered from the newest complete generation",
        pipeline="each run writes Parquet results and publishes a generation of scores to the table",
        first_answer="Lookups answer 409 not_scored_yet until a run has published; start one with `turnout run`.",
    ),
}


@dataclass(frozen=True)
class Step:
    """One model's line in a plan. `action` is create, switch, update or remove."""

    model: str
    action: str
    before: str | None
    after: str | None
    clients: str
    pipeline: str
    note: str = ""

    def to_body(self) -> dict:
        return asdict(self)


def plan(wanted: dict[str, ServingMode], deployed: dict[str, str]) -> list[Step]:
    """Compare modes by model name. `deployed` maps names to the word in the stack's `Mode` output."""
    steps = []
    for name in sorted(wanted.keys() | deployed.keys()):
        before = deployed.get(name)
        after = wanted.get(name)
        if after is None:
            steps.append(_removal(name, before))
            continue
        effect = EFFECTS[after]
        action = "create" if before is None else "update" if before == after.value else "switch"
        note = "" if action == "update" else effect.first_answer
        steps.append(Step(name, action, before, after.value, effect.lookups, effect.pipeline, note))
    return steps


def _removal(name: str, before: str | None) -> Step:
    return Step(
        name, "remove", before, None,
        clients="requests get 404 unknown_model",
        pipeline="no more runs",
        note="`cdk deploy` leaves a removed model's stack alone; delete it with `cdk destroy` on its stack.",
    )  # fmt: skip
