import { readFileSync } from 'node:fs';
import { decodeLogId } from '../../src/sandbox/datadog/id.ts';
import type { DatadogLogInput } from '../../src/sandbox/datadog/ledger.ts';

/** A log as v1 (`content`) or v2 (`attributes`) gave it. */
export interface RecordedLog {
  readonly id: string;
  readonly content?: { readonly timestamp: string };
  readonly attributes?: { readonly timestamp: string; readonly status: string };
}

/** One request and its answer. */
export interface Interaction {
  readonly method: string;
  readonly url: string;
  readonly request_body: object | null;
  readonly status: number;
  readonly response_headers: Readonly<Record<string, string>>;
  readonly response_body: Readonly<Record<string, unknown>> & {
    readonly logs?: readonly RecordedLog[];
    readonly data?: readonly RecordedLog[];
  };
}

/** What the recordings' own `date` header does not say is known from the queries: a moment after the window. */
const UNDATED = Date.parse('2022-04-12T14:46:02Z');

/** A file of test/fixtures/datadog. */
export function fixture(file: string): unknown {
  return JSON.parse(readFileSync(new URL(`../fixtures/datadog/${file}`, import.meta.url), 'utf8'));
}

/** A recording's requests to the log search. */
export function searches(file: string): readonly Interaction[] {
  const { interactions } = fixture(file) as { interactions: readonly Interaction[] };
  return interactions.filter(({ url }) => url.startsWith('https://api.'));
}

/** When it was answered, in ms. */
export function dateOf(interaction: Interaction): number {
  const { date } = interaction.response_headers;
  return date === undefined ? UNDATED : Date.parse(date);
}

/** Each log of the answers once, visible from the first answer that showed it. */
export function seed(interactions: readonly Interaction[]): readonly DatadogLogInput[] {
  const inputs = new Map<string, DatadogLogInput>();
  for (const interaction of interactions) {
    for (const log of interaction.response_body.logs ?? []) {
      if (!inputs.has(log.id)) inputs.set(log.id, { log: { ...log }, visibleAtMs: dateOf(interaction) });
    }
    for (const log of interaction.response_body.data ?? []) {
      if (inputs.has(log.id) || log.attributes === undefined) continue;
      const { status, ...content } = log.attributes;
      inputs.set(log.id, { log: { id: log.id, content }, status, visibleAtMs: dateOf(interaction) });
    }
    // The recording stops in the middle of a chain: what came next is known by its id alone.
    const next = interaction.response_body.nextLogId;
    const parts = typeof next === 'string' ? decodeLogId(next) : null;
    if (typeof next === 'string' && parts !== null && !inputs.has(next)) {
      const content = { timestamp: new Date(parts.eventMs).toISOString(), host: 'Test-next', message: '' };
      inputs.set(next, { log: { id: next, content }, visibleAtMs: dateOf(interaction) });
    }
  }
  return [...inputs.values()];
}
