// The sliders: what a model's modes cost under other figures, and the pictures drawn anew.

const figuresOf = {}; // model -> figures that a slider has moved

function reckoned(name, figures) {
  const model = models[name];
  const work = { ...model.work, ...figures };
  const usd = {}, refused = {}, overRequests = {}, overAges = {};
  for (const [mode, { entry, longest }] of Object.entries(model.modes)) {
    const cost = (changed) => monthly(mode, entry, stage, { ...work, ...changed }, prices);
    const unknown = lines(mode, entry, stage, work, prices).some((line) => line.usd === null && line.units);
    usd[mode] = { monthly: cost({}), complete: !unknown };
    if (work.model_seconds > longest) refused[mode] = `requests may take ${py.format(longest, ",")} s at most`;
    if (unknown || refused[mode]) continue;
    overRequests[mode] = (x) => cost({ requests: x });
    overAges[mode] = (x) => cost({ runs: curves$MONTH / x });
  }
  const minutes = new workload$Workload(work).minutes_of_a_run(anyEntry(model).transform.instance_count);
  const requests = curves$curves(curves$requests_grid(model.work.requests), overRequests);
  const ages = curves$curves(curves$ages_grid(minutes), overAges);
  const age = model.runs && work.runs ? curves$MONTH / work.runs : null;
  return {
    usd,
    refused,
    requests: { drawn: pictures$break_even(requests, model.own, work.requests), names: pictures$requests_names(requests.crossings) },
    ages: { drawn: pictures$freshness(ages, model.own, age), names: pictures$freshness_names(ages.crossings) },
  };
}

const anyEntry = (model) => Object.values(model.modes)[0].entry;

function show(section) {
  const name = section.dataset.model;
  const found = reckoned(name, figuresOf[name]);
  const open = Object.keys(found.usd).filter((mode) => !found.refused[mode]);
  const most = Math.max(...open.map((mode) => found.usd[mode].monthly)) || 1;
  for (const row of section.querySelectorAll("tr[data-mode]")) {
    const mode = row.dataset.mode;
    if (mode in found.usd) showBar(row, found.usd[mode], found.refused[mode], most);
  }
  for (const figure of section.querySelectorAll("figure[data-over]")) {
    const { drawn, names } = found[figure.dataset.over];
    figure.querySelector(".drawn").innerHTML = drawn;
    figure.querySelector("ol").replaceChildren(...names.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }
}

function showBar(row, { monthly, complete }, refused, most) {
  row.querySelector("i").hidden = Boolean(refused);
  row.querySelector("i").style.width = `${(100 * monthly) / most}%`;
  row.querySelector("small").textContent = refused ?? "";
  row.querySelector(".n").textContent = refused ? "—" : `${complete ? "" : "> "}$${py.format(monthly, ",.2f")}`;
}

// A slider's middle is the declared figure; twenty steps are a factor of ten. What it shows has two digits.
function moved(declared, step) {
  if (step === 0) return declared;
  return Number(((declared || 1000) * 10 ** (step / 20)).toPrecision(2));
}

const stepOf = (declared, value) => Math.round(20 * Math.log10(value / (declared || 1000))); // a range clamps it

const whole = (figure, value) => (figure === "model_seconds" ? value : Math.round(value));

function connect(section) {
  const name = section.dataset.model, declared = models[name].work, sliders = section.querySelector(".sliders");
  const showFigure = (figure) => {
    const number = sliders.querySelector(`[type=number][data-figure=${figure}]`);
    number.value = Number(((figuresOf[name][figure] ?? declared[figure]) * number.dataset.times).toPrecision(12));
  };
  const each = (action) => ["requests", "entities", "model_seconds"].forEach(action);
  let waiting = 0;
  const later = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => show(section));
  };
  figuresOf[name] = {};
  each(showFigure);
  sliders.addEventListener("input", ({ target }) => {
    const { figure, times } = target.dataset;
    const typed = Number(target.value) / times;
    if (!(target.type === "range" || (target.value !== "" && typed >= 0))) return;
    figuresOf[name][figure] = whole(figure, target.type === "range" ? moved(declared[figure], Number(target.value)) : typed);
    if (target.type === "range") showFigure(figure);
    else sliders.querySelector(`[type=range][data-figure=${figure}]`).value = stepOf(declared[figure], typed);
    later();
  });
  sliders.querySelector("button").addEventListener("click", () => {
    figuresOf[name] = {};
    for (const slider of sliders.querySelectorAll("[type=range]")) slider.value = 0;
    each(showFigure);
    later();
  });
  sliders.hidden = false;
}

if (typeof document !== "undefined") {
  document.querySelectorAll("section[data-model]").forEach(connect);
  // Paper has nothing to open.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));
}
