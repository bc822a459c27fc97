/** Numbers in words, the same everywhere. */

export function score(value: number | null | undefined, fraction = true): string {
  if (value === null || value === undefined) return "–";
  return fraction ? `${(100 * value).toFixed(1)} %` : value.toPrecision(4);
}

export function gain(value: number | null | undefined, fraction = true): string {
  if (value === null || value === undefined) return "–";
  const sign = value < 0 ? "−" : "+";
  const size = Math.abs(value);
  return `${sign}${fraction ? (100 * size).toFixed(1) : size.toPrecision(3)}`;
}

export function interval(low: number, high: number, fraction = true): string {
  return `${gain(low, fraction)} to ${gain(high, fraction)}`;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

export function money(usd: number | null | undefined): string {
  if (usd === null || usd === undefined) return "price unknown";
  if (usd === 0) return "$0";
  return usd < 0.01 ? `$${usd.toPrecision(2)}` : `$${usd.toFixed(usd < 1 ? 3 : 2)}`;
}

/** The cost of an example: dollars, or weighted tokens where there is no price. */
export function cost(value: number | null | undefined, dollars: boolean): string {
  if (value === null || value === undefined) return "–";
  return dollars ? money(value) : `${count(value)} tokens`;
}

export function seconds(value: number): string {
  if (value < 0.9995) return `${Math.round(1000 * value)} ms`;
  if (value < 59.95) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function chance(p: number | null | undefined): string {
  if (p === null || p === undefined) return "–";
  return p > 0.999 ? "> 0.999" : p < 0.001 ? "< 0.001" : p.toFixed(3);
}

export function when(at: number | null): string {
  return at === null ? "–" : new Date(1000 * at).toLocaleString("sv-SE").slice(0, 16);
}

/** The beginning of a candidate's content hash. */
export function short(id: string): string {
  return id.slice(0, 6);
}

/** The beginning of a text: so many lines, and no more than some 120 characters for each of them. */
export function beginning(text: string, lines: number): string {
  let end = Math.min(text.length, 120 * lines);
  let at = -1;
  for (let line = 0; line < lines; line += 1) {
    at = text.indexOf("\n", at + 1);
    if (at < 0 || at > end) break;
    if (line === lines - 1) end = Math.min(end, at);
  }
  return text.length - end <= 80 && !text.slice(end).includes("\n") ? text : text.slice(0, end);
}

/** One of something, or several. */
export function many(number: number, one: string, several = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : several}`;
}

const splits: Record<string, string> = { val: "validation" };

/** What a split of the data is called. */
export function splitName(name: string): string {
  return splits[name] ?? name;
}

/** The score of one example, as short as it can be. */
export function points(value: number | null | undefined, fraction = true): string {
  if (value === null || value === undefined) return "–";
  return fraction ? `${Number((100 * value).toFixed(1))} %` : String(Number(value.toPrecision(4)));
}

/** A long name, cut in its middle: ids often differ at their end only. */
export function middle(name: string, length = 16): string {
  if (name.length <= length) return name;
  const tail = Math.ceil(length / 2);
  return `${name.slice(0, length - tail - 1)}…${name.slice(-tail)}`;
}
