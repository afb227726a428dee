import type { Ms } from '../../model.ts';
import { mix32 } from '../dice.ts';
import { createShelf, type Shelf, type StoredEntry } from '../shelf.ts';
import type { QstashBehaviour } from './behaviour.ts';

/** An entry for the QStash stand-in. */
export interface QstashEntryInput {
  /** The entry, or its JSON text, which goes over the wire to the byte. */
  readonly entry: string | Readonly<Record<string, unknown>>;
  /** Event time by which windows find it; default its `time`, or the clock where that is no sane time. */
  readonly atMs?: Ms;
  /** Default: its time and a lateness by the seed. */
  readonly visibleAtMs?: Ms;
  /** When it was written, which decides the order; default a few ms after its time. */
  readonly writtenMs?: Ms;
}

/** An entry in its place: `(writtenMs, sequence)` orders all, and is what a cursor says. */
export interface QstashStored extends StoredEntry {
  readonly writtenMs: Ms;
  readonly sequence: number;
  /** The parsed entry; empty where the text is no object. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** All entries of the QStash stand-in. */
export interface QstashLedger {
  readonly shelf: Shelf<QstashStored>;
  add(inputs: readonly QstashEntryInput[], nowMs: Ms): void;
  /** The most that time and writing differ in any entry, in ms. */
  skewMs(): number;
}

const LATEST_TIME = 8.64e15;

/** An empty ledger. */
export function createQstashLedger(behaviour: QstashBehaviour, seed: number): QstashLedger {
  const shelf = createShelf<QstashStored>((a, b) => a.writtenMs - b.writtenMs || a.sequence - b.sequence);
  const perMs = new Map<Ms, number>();
  let count = 0;
  let skewMs = 0;
  const sequenceOf = (writtenMs: Ms): number => {
    const n = perMs.get(writtenMs) ?? 0;
    perMs.set(writtenMs, n + 1);
    if (behaviour.ties === 'shuffled') return mix32(n, seed);
    return behaviour.ties === 'reversed' ? 999_999_999 - n : n;
  };
  return {
    shelf,
    skewMs: () => skewMs,
    add(inputs, nowMs) {
      shelf.add(
        inputs.map((input) => {
          const text = typeof input.entry === 'string' ? input.entry : JSON.stringify(input.entry);
          const fields = typeof input.entry === 'string' ? parseFields(text) : input.entry;
          const timeMs = input.atMs ?? saneTime(fields.time) ?? nowMs;
          const chance = mix32(count++, seed) / 4294967296;
          const { minMs, maxMs } = behaviour.lateness;
          const writtenMs =
            input.writtenMs ?? timeMs + Math.floor(((chance * 977) % 1) * (behaviour.disorderMs + 1));
          skewMs = Math.max(skewMs, Math.abs(writtenMs - timeMs));
          const visibleAtMs = input.visibleAtMs ?? timeMs + minMs + Math.floor(chance * (maxMs - minMs));
          return { text, timeMs, visibleAtMs, writtenMs, sequence: sequenceOf(writtenMs), fields };
        }),
      );
    },
  };
}

function saneTime(time: unknown): Ms | null {
  return typeof time === 'number' && Number.isFinite(time) && time >= 0 && time <= LATEST_TIME
    ? Math.floor(time)
    : null;
}

function parseFields(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {};
  } catch {
    return {};
  }
}
