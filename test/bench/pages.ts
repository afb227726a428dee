import type { Span } from '../../src/model.ts';
import { DATADOG_DEFAULTS } from '../../src/sandbox/datadog/behaviour.ts';
import { writeDatadogHistory } from '../../src/sandbox/datadog/history.ts';
import { createDatadogLedger } from '../../src/sandbox/datadog/ledger.ts';
import { createDice, type Dice } from '../../src/sandbox/dice.ts';
import { QSTASH_DEFAULTS } from '../../src/sandbox/qstash/behaviour.ts';
import { writeQstashHistory } from '../../src/sandbox/qstash/history.ts';
import { createQstashLedger } from '../../src/sandbox/qstash/ledger.ts';

export type SourceName = 'qstash' | 'datadog';

/** All answers of one API for one span, as they go over the wire: by cursor, the first page under ''. */
export interface Rendered {
  readonly pages: ReadonlyMap<string, Buffer>;
  readonly entries: number;
  /** Bytes of all pages together. */
  readonly bytes: number;
}

/** The most entries of one answer. */
export const PAGE_SIZE: Readonly<Record<SourceName, number>> = { qstash: 100, datadog: 1000 };

const SEED = 20_260_101;
/** Entries that a message of the history has on average; it is only where the search for the right number begins. */
const ENTRIES_A_MESSAGE = 3.9;

/** Renders `entries` entries spread over `span`: the sandbox's histories, without its faults and late entries. */
export function renderPages(source: SourceName, span: Span, entries: number): Rendered {
  return source === 'qstash' ? renderQstash(span, entries) : renderDatadog(span, entries);
}

function renderQstash(span: Span, entries: number): Rendered {
  const messages = Math.ceil((entries / ENTRIES_A_MESSAGE) * 1.1);
  const history = writeQstashHistory(createDice(SEED), { ...span, messages }, QSTASH_DEFAULTS);
  if (history.length < entries) {
    throw new Error(`${messages} messages made ${history.length} entries: expected at least ${entries}`);
  }
  const ledger = createQstashLedger(QSTASH_DEFAULTS, SEED);
  ledger.add(history.slice(0, entries), span.to);
  const newestFirst = ledger.shelf.all().toReversed();
  return join(newestFirst, PAGE_SIZE.qstash, (page, next) => {
    const last = page.at(-1);
    const more = next !== undefined && last !== undefined;
    const cursor = more ? `${last.writtenMs}-${last.sequence}` : null;
    const events = page.map(({ text }) => text).join(',');
    return { cursor, body: `{${cursor === null ? '' : `"cursor":"${cursor}",`}"events":[${events}]}` };
  });
}

function renderDatadog(span: Span, entries: number): Rendered {
  const ledger = createDatadogLedger(DATADOG_DEFAULTS, SEED);
  const dice = createDice(SEED + 1);
  const history = writeDatadogHistory(createDice(SEED), { ...span, logs: entries }, []);
  ledger.add(
    history.map((log) => ({ ...log, content: withRequest(String(log.content), dice) })),
    span.to,
  );
  return join(ledger.shelf.all(), PAGE_SIZE.datadog, (page, next) => {
    const cursor = next?.id ?? null;
    const logs = page.map(({ text }) => text).join(',');
    return {
      cursor,
      body: `{"status":"done","nextLogId":${JSON.stringify(cursor)},"requestId":"bench","logs":[${logs}]}`,
    };
  });
}

/** The history's logs are terse; what a web server's logs say of the request makes them about 1 KB. */
function withRequest(content: string, dice: Dice): string {
  const request = {
    useragent: `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${dice.int(90, 140)}.0.0.0`,
    request_id: dice.uuid(),
    referer: `https://shop.example.com/cart?step=${dice.int(1, 9)}&session=${dice.bytes(12).toString('hex')}`,
    network: {
      client: { ip: `203.0.113.${dice.int(1, 254)}`, port: dice.int(1024, 65535) },
      bytes_written: dice.int(200, 90_000),
    },
    logger: { name: 'http.access', thread_name: `worker-${dice.int(1, 16)}`, version: '4.2.0' },
  };
  return content.replace('"attributes":{', () => `"attributes":{"request":${JSON.stringify(request)},`);
}

function join<E>(
  entries: readonly E[],
  size: number,
  render: (
    page: readonly E[],
    next: E | undefined,
  ) => { readonly cursor: string | null; readonly body: string },
): Rendered {
  const pages = new Map<string, Buffer>();
  let bytes = 0;
  let asked = '';
  for (let at = 0; at < entries.length; at += size) {
    const { cursor, body } = render(entries.slice(at, at + size), entries[at + size]);
    const buffer = Buffer.from(body);
    pages.set(asked, buffer);
    bytes += buffer.length;
    asked = cursor ?? '';
  }
  return { pages, entries: entries.length, bytes };
}
