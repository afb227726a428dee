import { sameBytes } from '../bytes.ts';
import { nameFrom, nameTo, type Tape } from './tape.ts';

/** Finds a text among some names, by its bytes. */
export interface NameTable {
  /** The position of a member's name among them; -1: it is none of them. */
  find(tape: Tape, member: number): number;
  /** As `find`, of what stands from `from` to `to`. */
  findBytes(bytes: Buffer, from: number, to: number): number;
}

/** A table of `names`, which must be ASCII. */
export function nameTable(names: readonly string[]): NameTable {
  const spelled = names.map((name) => Buffer.from(name));
  const buckets: number[][] = Array.from({ length: 256 }, () => []);
  const bucketOf = (bytes: Buffer, from: number, to: number) =>
    ((to - from) * 7 + (bytes[from] as number) * 31 + (bytes[to - 1] as number) * 3) & 255;
  for (const [index, name] of spelled.entries()) buckets[bucketOf(name, 0, name.length)]?.push(index);
  function findBytes(bytes: Buffer, from: number, to: number): number {
    if (from === to) return -1;
    const bucket = buckets[bucketOf(bytes, from, to)] as number[];
    for (let at = 0; at < bucket.length; at++) {
      const index = bucket[at] as number;
      const name = spelled[index] as Buffer;
      if (name.length === to - from && sameBytes(bytes, from, name, 0, name.length)) return index;
    }
    return -1;
  }
  return {
    find: (tape, member) => findBytes(tape.bytes, nameFrom(tape, member), nameTo(tape, member)),
    findBytes,
  };
}
