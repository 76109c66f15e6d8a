// What the translated formulas need of Python's library.
const py = {
  Duration: class {
    constructor(seconds) { this.seconds = seconds; }
    total_seconds() { return this.seconds; }
    valueOf() { return this.seconds; }
  },
  Pattern: class {
    constructor(source) { this.regular = new RegExp(`^(?:${source})`); }
    match(text) { return this.regular.test(text); }
  },
  sum: (values) => Array.from(values).reduce((total, value) => total + value, 0),
  range: (first, end) => (end === undefined ? py.range(0, first) : Array.from({ length: end - first }, (_, at) => first + at)),
  len: (values) => values.length ?? Object.keys(values).length,
  sorted: (values, key) => Array.from(values).sort((one, other) => key(one) - key(other)),
  startswith: (text, starts) => [starts].flat().some((start) => text.startsWith(start)),

  // Formats as f-strings do, for `,` `.2f` `.0%` `.3g` and what is made of them; an exact half goes up, not to even.
  format(value, style) {
    const [, comma, places, kind] = /^(,?)(?:\.(\d+))?([fg%]?)$/.exec(style);
    let shown;
    if (kind === "f") shown = value.toFixed(places ?? 6);
    else if (kind === "%") shown = `${(value * 100).toFixed(places ?? 6)}%`;
    else if (kind === "g") shown = py.general(value, Number(places ?? 6) || 1);
    else shown = String(value);
    return comma ? shown.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ",")) : shown;
  },
  general(value, digits) {
    const [whole, power] = value.toExponential(digits - 1).split("e");
    if (value === 0 || (power >= -4 && power < digits)) return String(Number(value.toPrecision(digits)));
    return `${Number(whole)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  },

  // The complementary error function, to about 1e-15: its series near zero, its continued fraction beyond.
  erfc(x) {
    const size = Math.abs(x);
    if (size < 2.5) {
      let term = x, total = x;
      for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) {
        term *= (-x * x) / n;
        total += term / (2 * n + 1);
      }
      return 1 - (2 / Math.sqrt(Math.PI)) * total;
    }
    let fraction = 0;
    for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction);
    const tail = Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + fraction);
    return x > 0 ? tail : 2 - tail;
  },
};
