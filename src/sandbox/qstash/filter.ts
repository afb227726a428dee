/** Filters of `/v2/logs`: AND across names, OR across the values of one name. Dates are not among them. */
export interface QstashFilter {
  readonly messageId?: string | readonly string[];
  readonly messageIds?: string | readonly string[];
  readonly state?: string | readonly string[];
  readonly url?: string | readonly string[];
  readonly topicName?: string | readonly string[];
  readonly scheduleId?: string | readonly string[];
  readonly queueName?: string | readonly string[];
  readonly label?: string | readonly string[];
  readonly host?: string | readonly string[];
  readonly path?: string | readonly string[];
  readonly callerIp?: string | readonly string[];
  readonly flowControlKey?: string | readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;
type Matcher = (fields: Fields, values: ReadonlySet<string>) => boolean;

const STATES: Readonly<Record<string, readonly string[]>> = {
  IN_PROGRESS: ['ACTIVE', 'RETRY', 'ERROR'],
  CANCELED: ['CANCELED', 'CANCELLED'],
  CANCELLED: ['CANCELED', 'CANCELLED'],
};

const MATCHERS: Readonly<Record<keyof QstashFilter, Matcher>> = {
  messageId: has('messageId'),
  messageIds: has('messageId'),
  state: (fields, values) =>
    [...values].some((value) => (STATES[value] ?? [value]).includes(`${fields.state}`)),
  url: has('url'),
  topicName: has('topicName'),
  scheduleId: has('scheduleId'),
  queueName: has('queueName'),
  label: (fields, values) =>
    [fields.label, ...(Array.isArray(fields.labels) ? fields.labels : [])].some((label) => values.has(label)),
  host: (fields, values) => values.has(stringOf(fields.host) ?? urlOf(fields)?.host ?? ''),
  path: (fields, values) => values.has(stringOf(fields.path) ?? urlOf(fields)?.pathname ?? ''),
  callerIp: has('callerIp'),
  flowControlKey: has('flowControlKey'),
};

/** Whether an entry passes the filters. */
export function compileQstashFilter(filter: QstashFilter | URLSearchParams): (fields: Fields) => boolean {
  const tests: ((fields: Fields) => boolean)[] = [];
  for (const [name, matcher] of Object.entries(MATCHERS)) {
    const given =
      filter instanceof URLSearchParams ? filter.getAll(name) : filter[name as keyof QstashFilter];
    const values = new Set(typeof given === 'string' ? [given] : given);
    if (values.size > 0) tests.push((fields) => matcher(fields, values));
  }
  return (fields) => tests.every((test) => test(fields));
}

function has(name: string): Matcher {
  return (fields, values) => values.has(stringOf(fields[name]) ?? '');
}

function stringOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function urlOf(fields: Fields): URL | null {
  return typeof fields.url === 'string' ? URL.parse(fields.url) : null;
}
