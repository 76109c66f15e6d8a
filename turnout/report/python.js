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
  range: (first, end) => Array.from({ length: end - first }, (_, index) => first + index),
  startswith: (text, starts) => [starts].flat().some((start) => text.startsWith(start)),

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
