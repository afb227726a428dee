import { nameFrom, nameTo, type Tape } from './tape.ts';

/** Finds which of some names a member has, by its bytes. */
export interface NameTable {
  /** Position among the names; -1: none of them. */
  find(tape: Tape, member: number): number;
}

/** A table of `names`, which must be ASCII. */
export function nameTable(names: readonly string[]): NameTable {
  const spelled = names.map((name) => Buffer.from(name));
  const buckets: number[][] = Array.from({ length: 256 }, () => []);
  const bucketOf = (bytes: Buffer, from: number, to: number) =>
    ((to - from) * 7 + (bytes[from] as number) * 31 + (bytes[to - 1] as number) * 3) & 255;
  for (const [index, name] of spelled.entries()) buckets[bucketOf(name, 0, name.length)]?.push(index);
  return {
    find(tape, member) {
      const { bytes } = tape;
      const [from, to] = [nameFrom(tape, member), nameTo(tape, member)];
      if (from === to) return -1;
      const bucket = buckets[bucketOf(bytes, from, to)] as number[];
      for (let at = 0; at < bucket.length; at++) {
        const index = bucket[at] as number;
        const name = spelled[index] as Buffer;
        if (name.length === to - from && sameBytes(bytes, from, name, 0, name.length)) return index;
      }
      return -1;
    },
  };
}

/** Whether `length` bytes are the same in both; short ones only, since a native call would cost more. */
export function sameBytes(a: Buffer, aFrom: number, b: Buffer, bFrom: number, length: number): boolean {
  for (let at = 0; at < length; at++) if (a[aFrom + at] !== b[bFrom + at]) return false;
  return true;
}
