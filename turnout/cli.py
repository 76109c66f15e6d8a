"""The command line, and the one module that prints.

Exit codes: 0 done; 1 an expected failure, told in one line on stderr; 2 wrong usage; 3 a run failed.
"""

import json
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from handlers.contract.modes import ServingMode
from turnout import __version__
from turnout.errors import NotDeployed, RunFailed, UserError

EXIT_FAILED, EXIT_USAGE, EXIT_RUN_FAILED = 1, 2, 3

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Serve each model as one word in models.yaml says: check, plan, run, look up, roll back.",
)
local_app = typer.Typer(no_args_is_help=True, help="The local cloud: AWS on this machine, SageMaker included.")
app.add_typer(local_app, name="local")
prices_app = typer.Typer(no_args_is_help=True, help="The price tables that bills are made with.")
app.add_typer(prices_app, name="prices")

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
StageOption = Annotated[str, typer.Option("--stage", "-s", envvar="TURNOUT_STAGE", help="dev or prod.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
ModelArgument = Annotated[str, typer.Argument(help="A model's name in models.yaml.", show_default=False)]
StateOption = Annotated[Path, typer.Option("--state-dir", help="Where the local cloud keeps its state and logs.")]
OptionalModelArgument = Annotated[str | None, typer.Argument(help="A model's name; left out: all.", show_default=False)]
TrafficOption = Annotated[
    int | None, typer.Option("--traffic", min=0, help="Requests a month to reckon with, instead of those counted.")
]
RegionOption = Annotated[str, typer.Option("--region", help="Whose list prices to reckon with.")]
#: Characters of a list of generations; a narrower terminal breaks its lines, but nothing is cut off.
GENERATIONS_WIDTH = 160
#: Days that `cost --actual` looks back, where nothing else is said.
ACTUAL_DAYS = 30
DEFAULT_CONFIG = Path("models.yaml")
DEFAULT_STATE = Path(".turnout/local")


class CostForm(StrEnum):
    """What `turnout cost` can print."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


@app.callback()
def common(
    local: Annotated[
        bool, typer.Option("--local", "-l", help="Talk to the running local cloud instead of AWS.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        out.print(f"turnout {__version__}")
        raise typer.Exit
    if local:
        from turnout.local import control

        os.environ.update(control.environ(control.require(DEFAULT_STATE)))


@app.command()
def validate(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Check models.yaml: every problem at once, each with its remedy."""
    from turnout.config import ConfigError, load

    try:
        loaded = load(config)
    except ConfigError as error:
        if as_json:
            _print_json({"valid": False, "problems": [problem.to_body() for problem in error.problems]})
        else:
            err.print(str(error), markup=False)
        raise typer.Exit(EXIT_FAILED) from error
    if as_json:
        models = {name: str(spec.mode) for name, spec in loaded.models.items()}
        _print_json({"valid": True, "models": models, "warnings": [w.to_body() for w in loaded.warnings]})
        return
    for warning in loaded.warnings:
        err.print(str(warning), markup=False)
    out.print(f"{config}: {len(loaded.models)} model(s), {len(loaded.warnings)} warning(s), no problems.")
    for name, spec in loaded.models.items():
        out.print(f"  {name}: {spec.mode}")


@app.command()
def plan(
    model: OptionalModelArgument = None,
    mode: Annotated[str | None, typer.Option("--mode", "-m", help="Plan for this mode, not the file's.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    stage: StageOption = "dev",
    traffic: TrafficOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what `cdk deploy` would change: steps, times, costs, and what clients would notice."""
    if mode is not None and model is None:
        raise typer.BadParameter("--mode wants a model: turnout plan MODEL --mode MODE.")
    plans = _plans(config, stage, model, mode, traffic)
    if as_json:
        _print_json([each.to_body() for each in plans])
        return
    _print_plans(plans, whole=model is not None)
    out.print("Make it so with `cdk deploy --all`; `cdk diff --all` shows every resource.", style="dim")


@app.command()
def cost(
    model: OptionalModelArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    stage: StageOption = "dev",
    region: RegionOption = "us-east-1",
    traffic: TrafficOption = None,
    form: Annotated[
        CostForm | None, typer.Option("--format", "-f", help="How to show it: table, or markdown for --diff.")
    ] = None,
    diff: Annotated[
        str | None, typer.Option("--diff", metavar="GIT_REF", help="Against the file of this commit, for a comment.")
    ] = None,
    actual: Annotated[
        bool, typer.Option("--actual", help="Against what AWS charged, by the stacks' tags (Cost Explorer, $0.01).")
    ] = False,
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=365, help=f"How many days --actual looks back; else {ACTUAL_DAYS}."),
    ] = None,
) -> None:
    """Price every mode of every model by models.yaml alone: no account, no network."""
    from datetime import date

    from turnout import prices
    from turnout.cost import fleets

    if diff is not None and actual:
        raise typer.BadParameter("--diff and --actual are two different comparisons; give one.")
    if days is not None and not actual:
        raise typer.BadParameter("--days is how far --actual looks back: turnout cost --actual --days N.")
    loaded, staged, table = _load(config), _stage(stage), prices.load(region)
    models = loaded.models if model is None else {model: _named(loaded.models, model, config)}
    fleet = fleets.fleet(models, staged, table, date.today(), requests=traffic)
    if actual:
        _print_charges(fleet, days or ACTUAL_DAYS, form or CostForm.TABLE, alone=model is not None)
    elif diff is not None:
        _print_difference(config, diff, models if model else None, fleet, staged, table, traffic, form)
    else:
        _print_bills(fleet, models, staged, table, form or CostForm.TABLE)
    if fleet.stale:
        err.print(f"turnout: {fleet.stale}", markup=False)
    if fleet.missing:
        raise UserError("Prices are missing: " + " ".join(fleet.missing))


def _print_bills(fleet, models, stage, table, form: CostForm) -> None:
    """Print a fleet's bills; with one model alone, what changes the answer too."""
    from turnout.cost import fleets, text

    alone = fleet.models[0] if len(models) == 1 else None
    changes = fleets.changes(alone, models[alone.name], stage, table) if alone else ()
    if form is CostForm.JSON:
        _print_json(fleet.to_body())
    elif form is not CostForm.TABLE:
        from turnout.cost import pages

        _print_document("What the models cost", list(pages.bills(fleet, changes)), form)
    elif alone:
        print(*text.model_lines(fleet, changes), sep="\n")
    else:
        print(*text.fleet_lines(fleet), sep="\n")


def _print_difference(config: Path, ref: str, only, fleet, stage, table, traffic, form: CostForm | None) -> None:
    from datetime import date

    from turnout.cost import differences, fleets
    from turnout.cost.at_ref import entries_at

    earlier = entries_at(config, ref)
    then = {name: spec for name, spec in (earlier or {}).items() if only is None or name in only}
    before = fleets.fleet(then, stage, table, date.today(), requests=traffic)
    found = differences.compare(ref, before, fleet, absent=earlier is None)
    if form is CostForm.JSON:
        _print_json(found.to_body())
        return
    form = form or CostForm.MARKDOWN
    if form is CostForm.MARKDOWN:
        print(differences.MARKER)
    _print_document(f"Cost against {ref}", list(differences.comment(found)), form)


def _print_charges(fleet, days: int, form: CostForm, *, alone: bool) -> None:
    from datetime import date

    import boto3

    from turnout.cost import actual

    found = actual.actual(fleet, boto3.client("ce", actual.API_REGION), date.today(), days, alone=alone)
    if form is CostForm.JSON:
        _print_json(found.to_body())
    else:
        _print_document("What AWS charged", list(actual.comparison(found)), form)


def _print_document(title: str, blocks, form: CostForm) -> None:
    from turnout import documents

    shown = {
        CostForm.TABLE: documents.plain,
        CostForm.MARKDOWN: documents.markdown,
        CostForm.HTML: lambda blocks: documents.page(title, blocks),
    }
    print(shown[form](blocks), end="")


@app.command()
def report(
    config: ConfigOption = DEFAULT_CONFIG,
    stage: StageOption = "dev",
    region: RegionOption = "us-east-1",
    traffic: TrafficOption = None,
    to: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("turnout-report.html"),
    pictures: Annotated[Path | None, typer.Option(help="Write the pictures into this folder too, as SVG.")] = None,
) -> None:
    """Write one HTML page with the bill, the pictures, the advice, and sliders that reckon anew; offline too."""
    from datetime import date

    from turnout import prices
    from turnout.cost.text import dollars
    from turnout.report import page

    found = page.report(_load(config).models, _stage(stage), prices.load(region), date.today(), requests=traffic)
    _write_file(to, page.page(found))
    usd = dollars(found.fleet.monthly, not found.fleet.missing)
    out.print(f"{to}: {len(found.parts)} model(s), {usd} a month.", markup=False)
    for name, picture in page.files(found).items() if pictures is not None else ():
        _write_file(pictures / name, picture)
    if found.fleet.stale:
        err.print(f"turnout: {found.fleet.stale}", markup=False)
    if found.fleet.missing:
        raise UserError("Prices are missing: " + " ".join(found.fleet.missing))


def _write_file(to: Path, text: str) -> None:
    """Write a file and the folders that it wants. Raises UserError."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{to} cannot be written: {error.strerror}.", "Name a file in a folder of yours.") from error


@prices_app.command(name="refresh")
def refresh_prices(region: RegionOption = "us-east-1", as_json: JsonOption = False) -> None:
    """Ask AWS's price list for a Region's prices of today and write its table; a failure leaves the old one."""
    from datetime import date

    import boto3

    from turnout.prices import refresh as refreshing

    done = refreshing.refresh(region, boto3.client("pricing", refreshing.API_REGION), date.today())
    if as_json:
        _print_json(done.to_body())
        return
    for line in done.lines():
        out.print(line, markup=False)


@app.command()
def advise(
    model: OptionalModelArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    stage: StageOption = "dev",
    region: RegionOption = "us-east-1",
    traffic: TrafficOption = None,
    freshness: Annotated[str | None, typer.Option(help="How old a prediction may be: now, 5m, 6h, 7d.")] = None,
    input_: Annotated[
        str | None, typer.Option("--input", help="stored, mostly-stored, request, upload or stream.")
    ] = None,
    consumption: Annotated[str | None, typer.Option(help="waits, later, whole-set or stream.")] = None,
    cost_: Annotated[str | None, typer.Option("--cost", help="How much the bill matters: high, medium or low.")] = None,
    failure: Annotated[str | None, typer.Option(help="last-answer, retry, default or must-answer.")] = None,
    traffic_shape: Annotated[str | None, typer.Option(help="steady, bursty, periodic or mixed.")] = None,
    latency: Annotated[str | None, typer.Option(help="How long an answer may take: 300ms, 5s, 5m, 6h.")] = None,
    ask: Annotated[bool, typer.Option("--ask", "-a", help="Ask the questions that are not answered yet.")] = False,
    observed: Annotated[
        int | None, typer.Option(min=1, max=60, help="Days of CloudWatch to look at: what deployed models are asked.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which mode a model should have, why, and what it costs: by its `answers:`, by flags, by asking, or by what
    CloudWatch has seen of it (--observed).
    """
    from datetime import date

    from turnout import prices
    from turnout.advice import entries, ranking, text

    given = {"freshness": freshness, "input": input_, "consumption": consumption, "cost": cost_, "failure": failure}
    given |= {"traffic_shape": traffic_shape, "latency": latency}
    alone = ask or any(answer is not None for answer in given.values())
    if observed is not None and (ask or traffic is not None):
        raise typer.BadParameter("--observed goes by what was asked and by the entries: neither --traffic nor --ask.")
    staged, table = _stage(stage), prices.load(region)
    if observed is not None:
        missing = _advise_observed(model, config, staged, table, given, days=observed, as_json=as_json)
    elif model is None and not alone:
        specs = [entries.with_requests(spec, traffic) for _, spec in sorted(_load(config).models.items())]
        fleet = [ranking.advise(spec, staged, table) for spec in specs]
        if as_json:
            _print_json([advice.to_body() for advice in fleet])
        else:
            print(*text.fleet_lines(fleet, table), sep="\n")
        missing = [each for advice in fleet for each in advice.missing]
    else:
        spec = entries.new_entry() if model is None else _named(_load(config).models, model, config)
        spec = entries.with_answers(entries.with_requests(spec, traffic), given)
        missing = _advise_one(_asked(spec) if ask else spec, staged, table, written=model is not None, as_json=as_json)
    if stale := table.stale(date.today()):
        err.print(f"turnout: {stale}", markup=False)
    if missing:
        raise UserError("Prices are missing: " + " ".join(missing))


def _advise_observed(model, config, stage, table, given, *, days: int, as_json: bool) -> list[str]:
    """Print what the traffic of deployed models speaks for: of one, or of all that are in the file. Return what has no
    price.
    """
    from turnout import deployed
    from turnout.advice import entries, observed_text, observing, proposals

    specs = _load(config).models
    names = (
        [_named(specs, model, config).name] if model else sorted(specs.keys() & deployed.deployed_models(stage.name))
    )
    if not names:
        raise UserError(f"No model of {config} is deployed in stage {stage.name}.", "Run `cdk deploy --all` first.")
    asked = [entries.with_answers(specs[name], given) for name in names]
    seen = [observing.see(stage.name, each, days, datetime.now(UTC)) for each in asked]
    found = [(each, proposals.propose(each, stage, table)) for each in seen]
    if as_json:
        _print_json([observed_text.body(each, proposed, config) for each, proposed in found])
    else:
        print(*observed_text.lines(found, config, table), sep="\n")
    bills = [(each, bill) for _, proposed in found for each in proposed for bill in (each.now, each.then)]
    missing = (f"{each.model}: {line.what}: {line.how}" for each, bill in bills for line in bill.missing)
    return list(dict.fromkeys(missing))


def _advise_one(spec, stage, table, *, written: bool, as_json: bool) -> list[str]:
    """Print the advice for one entry with what would change it. Return what has no price."""
    from turnout import cost as bills
    from turnout.advice import changing, ranking, text

    advice = ranking.advise(spec, stage, table, written=written)
    changes = list(changing.changes(advice, spec, stage, table))
    work = bills.workload_of(ranking.with_settings(spec, advice.best.settings) if advice.best else spec)
    if as_json:
        body = {**advice.to_body(), "changes": [change.to_body() for change in changes], "rests_on": list(work.notes)}
        _print_json({**body, "lines": ranking.lines(spec, advice.best) if advice.best else []})
    else:
        print(*text.model_lines(advice, spec, work, changes, table), sep="\n")
    return advice.missing


def _asked(spec):
    """Return the entry with answers to what it leaves open, as a person gives them; an empty answer skips one."""
    from turnout.advice import entries, text
    from turnout.advice.questions import QUESTIONS

    for name, question in QUESTIONS.items():
        while getattr(spec.answers, name) is None:
            err.print(*text.asking(question), sep="\n", markup=False)
            answer = typer.prompt(name, default="", show_default=False, err=True).strip()
            if not answer:
                break
            try:
                spec = entries.with_answers(spec, {name: answer})
            except UserError as error:
                err.print(str(error), markup=False)
    return spec


@app.command()
def switch(
    model: ModelArgument,
    mode: Annotated[str, typer.Argument(help="The mode to serve it in.", show_default=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    stage: StageOption = "dev",
    traffic: TrafficOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show the plan and write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write another mode into models.yaml and show what its deploy will do; `cdk deploy` does it."""
    from handlers.contract.layout import stack_name
    from turnout.config import write_whole

    text = _edited(config, model, mode)
    (plan,) = _plans(config, stage, model, mode, traffic)
    written = plan.refusal is None and not dry_run
    command = f"cdk deploy {stack_name(stage, model)}{'' if stage == 'dev' else f' -c stage={stage}'}"
    if written:
        write_whole(config, text)
    if as_json:
        _print_json({**plan.to_body(), "written": written, "command": command})
    else:
        _print_plans([plan], whole=True)
    if plan.refusal is not None:
        _refuse(plan, quiet=as_json)
    if not as_json:
        out.print(f"{config}: mode of {model} is {mode} now." if written else f"{config} is as it was.", markup=False)
        out.print(f"Make it so with `{command}`.", style="dim")


@app.command()
def run(
    model: ModelArgument,
    stage: StageOption = "dev",
    follow: Annotated[bool, typer.Option(help="Wait for the end and show progress.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Start a run of a model's pipeline now, and follow it to its end."""
    from turnout import deployed, runs

    target = deployed.find_model(stage, model)
    execution = runs.start(target)
    if not follow:
        _print_json({"execution": execution}) if as_json else out.print(execution)
        return
    followed = follow_run(target, deployed.find_platform(stage), execution, quiet=as_json)
    if as_json:
        _print_json(_run_body(followed))
    runs.require_success(followed)
    if not as_json:
        print_run_report(followed)


@app.command(name="runs")
def list_runs(
    model: ModelArgument,
    stage: StageOption = "dev",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """List a model's newest runs with their row counts and errors."""
    from turnout import deployed

    entries = deployed.find_model(stage, model).runs(limit)
    if as_json:
        _print_json([entry.__dict__ for entry in entries])
        return
    if not entries:
        out.print(f"Model '{model}' has no runs yet. Start one with `turnout run {model}`.")
        return
    table = Table("run", "trigger", "status", "rows in", "scored", "refused", box=None)
    for entry in entries:
        report = entry.report or {}
        counts = [str(report.get(name, "")) for name in ("rows_in", "rows_scored", "rows_quarantined")]
        table.add_row(entry.id, entry.trigger, entry.status, *counts)
    out.print(table)
    for entry in entries:
        if entry.error:
            out.print(f"{entry.id} failed: {entry.error}: {entry.cause}", markup=False)


@app.command()
def predict(
    model: ModelArgument,
    key: Annotated[str | None, typer.Option("--key", "-k", help="Key to look up, exactly as in the data.")] = None,
    body: Annotated[str | None, typer.Option("--body", "-b", help="JSON body to POST, or `-` for stdin.")] = None,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Call a model through the front door and print its JSON answer."""
    from turnout import deployed
    from turnout.front_door import FrontDoor

    if (key is None) == (body is None):
        raise typer.BadParameter("Give either --key or --body.")
    door = FrontDoor(deployed.find_platform(stage).api_url)
    # A body carries any key unharmed; Amazon's HTTP APIs decode paths more than once.
    answer = door.predict(model, {"key": key} if key is not None else _parse_body(body))
    if as_json:
        _print_json({"status": answer.status, "body": answer.body})
    else:
        out.print_json(data=answer.body)
    if not answer.ok:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def refresh(
    model: ModelArgument,
    key: Annotated[str, typer.Option("--key", "-k", help="Key to score, exactly as in the data.")],
    features: Annotated[str, typer.Option("--features", "-f", help="Its features as a JSON object, or `-` for stdin.")],
    data_as_of: Annotated[
        str | None, typer.Option("--data-as-of", help="Moment that the features are of (ISO 8601); default: now.")
    ] = None,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Have one key scored now, by the event `Refresh Prediction` that your own systems can put as well."""
    from turnout import deployed, refreshing

    given = _parse_body(features, "--features")
    if not isinstance(given, dict):
        raise typer.BadParameter("--features is no JSON object.")
    event = refreshing.ask(deployed.find_model(stage, model), key, given, data_as_of)
    if as_json:
        _print_json({"model": model, "event": event})
        return
    out.print(f"{model}: event {event} is on its way; `turnout predict {model} --key {key}` shows what came of it.")


@app.command(name="generations")
def list_generations(
    model: ModelArgument,
    stage: StageOption = "dev",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 10,
    delete: Annotated[str | None, typer.Option(help="Delete this generation's scores; its results in S3 stay.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List a model's newest generations: which one is visible, what its predictions look like, why one was refused."""
    from turnout import deployed, generations

    target = deployed.find_model(stage, model)
    if delete is not None:
        _delete_generation(target, delete, as_json)
        return
    entries = generations.described(target, limit)
    if as_json:
        _print_json(entries)
        return
    if not entries:
        out.print(f"Model '{model}' has no generations yet. Make one with `turnout run {model}`.")
        return
    table = Table(box=None)
    for name in ("generation", "state", "version", "data of", "scored", "rows", "mean", "5 %, 50 %, 95 %"):
        table.add_column(name, no_wrap=True)
    for entry in entries:
        minutes = [moment and f"{moment[:16]}Z" for moment in (entry["data_as_of"], entry["scored_at"])]
        shown = [entry["generation"], entry["state"], entry["model_version"], *minutes, f"{entry['rows_scored']:,}"]
        table.add_row(*shown, *_predictions_shown(entry["predictions"] or {}))
    Console(soft_wrap=True, highlight=False, width=max(out.width, GENERATIONS_WIDTH)).print(table)
    for entry in entries:
        if entry["refused"]:
            for_good = ", and cannot be accepted" if entry["miscounted"] else ""
            out.print(f"{entry['generation']} was refused{for_good}: {entry['refused']}", markup=False)


def _predictions_shown(predictions: dict) -> tuple[str, str]:
    """Return the columns on a generation's predictions: numbers have a mean, labels the most frequent of them."""
    if "mean" in predictions:
        return f"{predictions['mean']:.4g}", ", ".join(f"{value:.4g}" for value in predictions["quantiles"].values())
    labels = sorted(predictions.get("labels", {}).items(), key=lambda entry: -entry[1])
    return "", ", ".join(f"{label} {rows:,}" for label, rows in labels[:3]) or ", ".join(predictions.get("types", {}))


def _delete_generation(model, generation: str, as_json: bool) -> None:
    from turnout import generations

    with err.status(f"Deleting generation {generation} of {model.name}") as shown:
        deleted = generations.delete(
            model, generation, lambda items: shown.update(f"Deleting generation {generation}: {items:,} items")
        )
    if as_json:
        _print_json({"model": model.name, "deleted": generation, "items": deleted})
    else:
        out.print(f"{model.name}: generation {generation} is gone, {deleted:,} items. Its results in S3 stay.")


@app.command()
def rollback(
    model: ModelArgument,
    to: Annotated[str | None, typer.Option(help="The generation to show; left out: the previous one.")] = None,
    accept_refused: Annotated[
        bool, typer.Option("--accept-refused", help="Show it although its run was refused for quality.")
    ] = False,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Serve another generation, the previous one unless told otherwise, at once and without a deploy."""
    from turnout import deployed, generations

    if accept_refused and to is None:
        raise typer.BadParameter("--accept-refused wants a generation: turnout rollback MODEL --to GENERATION.")
    target = deployed.find_model(stage, model)
    if to is None:
        old, new = generations.show_previous(target)
    else:
        old, new = generations.make_visible(target, to, accept_refused=accept_refused)
    if as_json:
        _print_json({"model": model, "from": old, "to": new})
    elif to is None:
        out.print(f"{model}: serving generation {new} again (was {old}). Run this again to undo.")
    else:
        out.print(f"{model}: generation {new} is visible (was {old or 'none'}).")


@app.command()
def status(stage: StageOption = "dev", as_json: JsonOption = False) -> None:
    """Show every deployed model: mode, version, generation, its data's age, last run, and what a deploy waits for."""
    from turnout import deployed

    rows = [_status_of(stage, name) for name in deployed.deployed_models(stage)]
    if as_json:
        _print_json(rows)
        return
    if not rows:
        out.print(f"No model is deployed in stage {stage}. Run `cdk deploy --all`.")
        return
    table = Table(box=None)
    for name in ("model", "mode", "version", "generation", "age", "rows", "last run"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        shown = [row["model"], row["mode"], row["model_version"] or "", row["generation"] or "none yet"]
        table.add_row(*shown, _age(row["data_as_of"]), str(row["rows"] or ""), row["last_run"] or "never")
    out.print(table)
    for row in rows:
        if row["deploy"]:
            out.print(f"{row['model']} is being deployed: {row['deploy']}", markup=False)


@local_app.command()
def up(
    state_dir: StateOption = DEFAULT_STATE,
    port: Annotated[int | None, typer.Option(help="Port on 127.0.0.1; default: a free one.")] = None,
    persist: Annotated[bool, typer.Option(help="Keep state over a clean stop.")] = False,
    time_scale: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds of AWS's waiting in one second; 60 suits tests.")
    ] = 1,
) -> None:
    """Start the local cloud, or find the one that runs."""
    from turnout.local import control

    cloud = control.up(state_dir, port=port, persist=persist, time_scale=time_scale)
    out.print(f"Local cloud on {cloud.endpoint} (pid {cloud.pid}).")
    out.print('Use it:  eval "$(turnout local env)"   then cdk, aws and boto3 as usual.', style="dim", markup=False)


@local_app.command()
def down(state_dir: StateOption = DEFAULT_STATE) -> None:
    """Stop the local cloud and everything that it started."""
    from turnout.local import control

    stopped = control.down(state_dir)
    out.print("Stopped." if stopped else "It was not running.")


@local_app.command(name="status")
def local_status(state_dir: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Say whether the local cloud runs, what runs in it, where its log is, and what it ignores."""
    from turnout.local import control

    cloud = control.status(state_dir)
    told = control.describe(cloud) if cloud else {"ignored": [], "counts": {}, "versions": {}}
    processes = len(control.processes(state_dir)) if cloud else 0
    if as_json:
        body = {"running": cloud is not None, "endpoint": cloud and cloud.endpoint, "processes": processes}
        more = {"counts": told["counts"], "versions": told["versions"], "ignored_here": told["ignored"]}
        _print_json(body | more)
        return
    if cloud is None:
        out.print("Not running.")
        return
    out.print(f"Running on {cloud.endpoint} (pid {cloud.pid}, {processes} processes).")
    out.print(f"Log: {cloud.log_file}", markup=False)
    out.print("Versions: " + ", ".join(f"{name} {version}" for name, version in told["versions"].items()))
    out.print("In it: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in told["counts"].items()))
    _print_ignored(told["ignored"])


def _print_ignored(sentences: list[str]) -> None:
    """Print sentences under the part of the cloud that each begins with."""
    out.print("Ignored here, though AWS would act on it, or done otherwise:")
    last = ""
    for sentence in sentences:
        part, _, rest = sentence.partition(": ")
        if part != last:
            out.print(f"  {part}", markup=False)
        out.print(f"    - {rest}", markup=False)
        last = part


@local_app.command()
def doctor(
    source: Annotated[str, typer.Argument(help="A template, a folder of templates (cdk.out), or a deployed stack.")],
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if anything is missing or ignored.")] = False,
    state_dir: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Name every resource and property of a template that the local cloud will not act on."""
    from turnout.local import control
    from turnout.local import doctor as examining

    templates = examining.read(source, lambda: control.client(control.require(state_dir), "cloudformation"))
    found = {name: examining.examine(template) for name, template in templates.items()}
    if as_json:
        _print_json({name: [finding.to_body() for finding in findings] for name, findings in found.items()})
    else:
        for name, findings in found.items():
            _print_findings(name, findings, examining.areas(templates[name]))
    if strict and not all(examining.strictly(findings) for findings in found.values()):
        raise typer.Exit(EXIT_FAILED)


def _print_findings(name: str, findings: list, areas: list[str]) -> None:
    """Print findings, those that say the same of several resources once."""
    out.print(f"{name}: {len(findings)} finding(s).", style="bold", markup=False)
    alike: dict[tuple, list[str]] = {}
    for each in findings:
        alike.setdefault((each.severity, each.type, each.property, each.meaning), []).append(each.resource)
    for (severity, kind, path, meaning), resources in alike.items():
        more = f" and {len(resources) - 2} more" if len(resources) > 2 else ""
        what = f"{kind} {path}".rstrip()
        out.print(f"  {severity:<9} {what}: {meaning} ({', '.join(resources[:2])}{more})", markup=False)
    if areas:
        out.print(f"  `turnout local status` says what holds for all: {', '.join(areas)}.", style="dim", markup=False)


@local_app.command()
def env(state_dir: StateOption = DEFAULT_STATE) -> None:
    """Print shell lines that point cdk, aws and boto3 at the local cloud."""
    from turnout.local import control

    for name, value in control.environ(control.require(state_dir)).items():
        print(f"export {name}={value}")


@local_app.command()
def reset(state_dir: StateOption = DEFAULT_STATE) -> None:
    """Empty the local cloud without restarting it."""
    from turnout.local import control

    control.reset(control.require(state_dir))
    out.print("Emptied.")


@local_app.command()
def fire(
    model: ModelArgument,
    stage: StageOption = "dev",
    state_dir: StateOption = DEFAULT_STATE,
) -> None:
    """Hurry the scheduler's clock to the model's next slot; the schedule then fires by itself."""
    from handlers.contract.layout import stack_name
    from turnout.local import control

    fired, *others = control.advance_schedule(control.require(state_dir), f"{stack_name(stage, model)}/ServingTrigger")
    out.print(f"Schedule {fired['schedule']} fired for {fired['scheduled_time']}.")
    if others:
        out.print(f"The hurried clock fired {len(others)} other schedule(s) too.", style="dim")


@app.command(hidden=True)
def demo(
    keep: Annotated[bool, typer.Option(help="Leave the local cloud running.")] = False,
) -> None:
    """The main job end to end on the local cloud (`make demo`)."""
    from turnout.demo import Demo

    Demo(out, follow=follow_run).run(keep=keep)


def follow_run(model, platform, execution: str, *, quiet: bool = False):
    """Show a run's progress until it ends: bars on a terminal, one line per step elsewhere. Return runs.Followed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from turnout import runs

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=out,
        transient=True,
        disable=quiet or not out.is_terminal,
    ) as bars:
        task, last = None, None
        for progress in runs.follow(model, platform, execution):
            if isinstance(progress, runs.Followed):
                return progress
            if progress.step != last:
                last = progress.step
                if task is not None:
                    bars.remove_task(task)
                task = bars.add_task(progress.step, total=progress.total)
                if not quiet and not out.is_terminal:
                    out.print(f"  {progress.elapsed_seconds:5.1f} s  {progress.step} …", markup=False)
            bars.update(task, completed=progress.done or 0, total=progress.total)
    raise AssertionError("a followed run always ends")


def print_run_report(followed) -> None:
    """Print what a finished run did."""
    if followed.duplicate:
        out.print("Another execution owns this slot; nothing was done.")
        return
    out.print(f"Run {followed.run.id} succeeded:", markup=False)
    for name, value in (followed.run.report or {}).items():
        shown = ", ".join(f"{count} {code}" for code, count in value.items()) if isinstance(value, dict) else value
        out.print(f"  {name.replace('_', ' '):<17}{shown}", markup=False)
    spent = ", ".join(f"{step} {seconds:.1f}" for step, seconds in followed.seconds.items() if seconds >= 0.05)
    out.print(f"  {'seconds by step':<17}{spent}", markup=False)


def _age(moment: str | None) -> str:
    """Return how long ago an ISO 8601 moment was, in its largest unit."""
    if moment is None:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def main() -> None:
    """Entry point: expected failures become one line and an exit code."""
    try:
        app()
    except UserError as error:
        err.print(f"turnout: {error}", markup=False)
        sys.exit(EXIT_RUN_FAILED if isinstance(error, RunFailed) else EXIT_FAILED)
    except ClientError as error:
        err.print(f"turnout: AWS refused: {error}", markup=False)
        sys.exit(EXIT_FAILED)
    except BotoCoreError as error:
        where = os.environ.get("AWS_ENDPOINT_URL", "")
        log = (
            f" If that is the local cloud, read {DEFAULT_STATE / 'logs' / 'local.log'}." if "127.0.0.1" in where else ""
        )
        err.print(f"turnout: no answer from AWS: {error}.{log}", markup=False)
        sys.exit(EXIT_FAILED)


def _load(path: Path, text: str | None = None):
    from turnout.config import ConfigError, load

    try:
        return load(path, text=text)
    except ConfigError as error:
        raise UserError(str(error)) from error


def _edited(path: Path, model: str, mode: str) -> str:
    """Return the text of a configuration with one mode changed. Raises UserError."""
    from turnout.config import ConfigError, edit_mode

    _load(path)  # a file that is wrong already is told as it stands
    try:
        return edit_mode(path.read_bytes().decode(), model, mode)
    except ConfigError as error:
        raise UserError(str(error)) from error


def _prices_here():
    """Return the prices of the Region that AWS's settings name, or the default's where it has no table, and say so."""
    import boto3

    from turnout import prices

    region = boto3.Session().region_name or os.environ.get("AWS_REGION") or prices.DEFAULT_REGION
    if region in prices.regions():
        return prices.load(region)
    missing = f"There is no price table of {region}: costs are those of {prices.DEFAULT_REGION}."
    err.print(f"turnout: {missing} `turnout prices refresh --region {region}` makes one.", markup=False)
    return prices.load()


def _plans(config: Path, stage: str, model: str | None, mode: str | None, traffic: int | None):
    """Return plans for one model or for all; with a mode, as if the file said so."""
    from turnout import plan as planning
    from turnout.config.archive import model_version
    from turnout.switching import situation

    written = _load(config).models
    specs = written if mode is None else _load(config, _edited(config, model, mode)).models
    if model is not None:
        _named(specs, model, config)
    staged, table = _stage(stage), _prices_here()
    if model is None:
        now = situation.everything(stage, specs)
        versions = {name: model_version(specs[name]) for name in now if name in specs}
        return planning.plan_all(specs, now, staged, requests=traffic, versions=versions, table=table)
    assumed = None if mode is None else written[model].mode
    now = situation.look(stage, model, specs[model], assumed=assumed)
    version = model_version(specs[model])
    return [planning.plan_model(specs[model], now, staged, requests=traffic, version=version, table=table)]


def _named(specs, model: str, config: Path):
    """Return the entry of a model. Raises UserError, naming those that there are."""
    if model not in specs:
        raise UserError(f"There is no model '{model}' in {config}.", f"There are: {', '.join(specs)}.")
    return specs[model]


def _stage(name: str):
    from turnout.config import UnknownStage, stage

    try:
        return stage(name)
    except UnknownStage as error:
        raise UserError(f"{error}.") from error


def _print_plans(plans, *, whole: bool) -> None:
    from turnout.switching import report

    for each in plans:
        for number, line in enumerate(report.lines(each, whole=whole)):
            out.print(line, markup=False, style="bold" if number == 0 else None)


def _refuse(plan, *, quiet: bool) -> None:
    if quiet:
        raise typer.Exit(EXIT_FAILED)
    raise UserError(f"Nothing was written: {plan.refusal}.")


def _parse_body(text: str, option: str = "--body") -> dict:
    raw = sys.stdin.read() if text == "-" else text
    try:
        return json.loads(raw)
    except ValueError as error:
        raise typer.BadParameter(f"{option} is not JSON: {error}") from error


def _status_of(stage: str, name: str) -> dict:
    from handlers.logic.scores import KEEPS_SCORES
    from turnout import deployed

    try:
        model = deployed.find_model(stage, name)
    except NotDeployed as error:  # one broken stack must not hide the others
        unknown = dict.fromkeys(("model_version", "generation", "scored_at", "data_as_of", "rows", "last_run_id"))
        return {"model": name, "mode": "?", **unknown, "last_run": error.message, "deploy": _awaited(stage, name)}
    pointer = model.pointer()
    served = model.generation(pointer.scores if KEEPS_SCORES[ServingMode(model.mode)] else pointer.results)
    newest = model.runs(20)
    return {
        "model": model.name,
        "mode": model.mode,
        "model_version": model.model_version,
        "generation": served.id if served else None,
        "scored_at": served.scored_at if served else None,
        "data_as_of": served.as_of if served else None,
        "rows": served.rows_scored if served else None,
        "last_run": newest[0].status if newest else None,
        "last_run_id": newest[0].id if newest else None,
        "deploy": _awaited(stage, name) if model.stack_status.endswith("_IN_PROGRESS") else None,
    }


def _awaited(stage: str, name: str) -> str | None:
    """Return what the gate of a model that is being deployed waits for."""
    from handlers.contract.layout import stack_name
    from turnout.switching.progress import awaited

    found = awaited(stack_name(stage, name))
    return str(found) if found else None


def _run_body(followed) -> dict:
    return {
        "status": followed.status,
        "duplicate": followed.duplicate,
        "seconds": followed.seconds,
        "run": followed.run.__dict__ if followed.run else None,
    }


def _print_json(value) -> None:
    print(json.dumps(value, indent=2, default=str))
