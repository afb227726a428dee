/** One sample of an exposition. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric of an exposition with what was declared of it. */
export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABELS = /^(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:,(?!$)|$))*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const VALUE = /^(?:[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN)$/i;

/**
 * Reads Prometheus text format 0.0.4 to the letter: HELP and TYPE once and before the samples, families in one
 * piece, no sample twice, a newline at the end. Throws what is wrong with which line.
 */
export function parseExposition(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('no newline at the end');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let help: { name: string; text: string } | null = null;
  let current: Family | null = null;
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue;
    const fail = (why: string): never => {
      throw new Error(`${why}: ${line}`);
    };
    if (line.startsWith('# HELP ')) {
      const [, name = '', words = ''] = /^# HELP (\S+) (.+)$/.exec(line) ?? fail('no help');
      if (!NAME.test(name) || families.has(name)) fail('no new name');
      help = { name, text: words };
      current = null;
    } else if (line.startsWith('# TYPE ')) {
      const [, name = '', type = ''] =
        /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line) ?? fail('no type');
      if (help?.name !== name) fail('type without its help');
      current = { name, type, help: help?.text ?? '', samples: [] };
      families.set(name, current);
    } else {
      const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? fail('no sample');
      if (!VALUE.test(value)) fail('no number');
      if (!LABELS.test(labels)) fail('no labels');
      const bare = current?.type === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name;
      if (current === null || bare !== current.name) fail('sample outside of its family');
      if (seen.has(`${name}{${labels}}`)) fail('twice');
      seen.add(`${name}{${labels}}`);
      const pairs = [...labels.matchAll(/([^=,]+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, one]) => [key, one]);
      current?.samples.push({ name, labels: Object.fromEntries(pairs), value: Number(value) });
    }
  }
  return families;
}

/** What the conventions of Prometheus have against names, help texts and labels; what promtool checks, and units. */
export function lint(families: ReadonlyMap<string, Family>): readonly string[] {
  return [...families.values()].flatMap(({ name, type, help, samples }) => {
    const found: string[] = [];
    const bad = (why: string) => found.push(`${name}: ${why}`);
    if (!/^(logkeep|process|nodejs)_[a-z0-9_]+$/.test(name)) bad('expected a prefix and lower case');
    if (type === 'counter' && !name.endsWith('_total')) bad('a counter ends in _total');
    if (type !== 'counter' && name.endsWith('_total')) bad('only a counter ends in _total');
    if (/_(gauge|counter|histogram|metric)(_|$)/.test(name)) bad('the type is no part of a name');
    if (/_(ms|milliseconds|minutes|hours|days|kb|mb|kilobytes|megabytes|percent)(_|$)/.test(name))
      bad('no base unit');
    if (/_(count|sum|bucket)$/.test(name)) bad('a suffix of histograms');
    if (help.trim().length < 10 || !help.endsWith('.')) bad('expected a sentence of help');
    for (const { labels } of samples) {
      for (const label of Object.keys(labels)) {
        if (!/^[a-z][a-z0-9_]*$/.test(label) || label === 'quantile') bad(`label ${label}`);
      }
    }
    return found;
  });
}
