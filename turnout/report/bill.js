// One entry in one stage under one workload; units times prices, as turnout.cost.lines reckons them.
class Case {
  constructor(spec, stage, work, prices) { Object.assign(this, { spec, stage, work, prices }); }
  line(what, price, units, how, kind = "monthly") {
    return { what, units, price, kind, usd: price in this.prices ? units * this.prices[price] : null };
  }
  hours(what, type, hours, how, kind = "monthly") {
    return this.line(what, `sagemaker_instance.${type}`, hours, how, kind);
  }
}

function lines(mode, spec, stage, work, prices) {
  const made = new Case(spec, stage, new workload$Workload(work), prices);
  return billing$_MODES[mode].flatMap((part) => [...part(made)]);
}

function monthly(mode, spec, stage, work, prices) {
  return lines(mode, spec, stage, work, prices)
    .filter((line) => line.kind === "monthly")
    .reduce((total, line) => total + (line.usd ?? 0), 0);
}
