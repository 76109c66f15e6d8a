"""Which modes answer a request with a prediction, and which switch takes every answer away."""

from handlers.contract.modes import ServingMode

#: Does a request get a prediction, now or later? One line per mode.
ANSWERS = {
    ServingMode.BATCH: False,
    ServingMode.PRECOMPUTE: True,
    ServingMode.HYBRID: True,
    ServingMode.REALTIME: True,
    ServingMode.SERVERLESS: True,
    ServingMode.ASYNC: True,
    ServingMode.STREAMING: True,
    ServingMode.TIERED: True,
}

#: The word under `acknowledge:` in models.yaml that lets a switch take answers away.
LOST_ANSWERS = "lost-answers"


def refuse_silence(model: str, before: str, after: str, *, acknowledged: bool) -> str | None:
    """Return why a switch must not happen, None if it may: whoever is answered now would be answered no more."""
    silenced = ANSWERS[ServingMode(before)] and not ANSWERS[ServingMode(after)]
    if acknowledged or not silenced:
        return None
    return (
        f"model {model!r} answers requests in mode {before}, and mode {after} would refuse every one of them: "
        f"if that is meant, write `acknowledge: [{LOST_ANSWERS}]` into its entry in models.yaml and deploy again"
    )
