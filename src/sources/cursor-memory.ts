import { hash } from 'node:crypto';
import type { Cursor } from '../model.ts';

/** The cursors of one chain, as far as it takes to see that it leads in a circle. */
export interface CursorMemory {
  /** False: the chain has been at this cursor before. */
  add(cursor: Cursor): boolean;
}

/**
 * Remembers hashes of the first cursor, of the last `most` at most, and of one between: each time twice as far on. So a
 * chain that starts over is seen at once, a circle of up to `most` pages before it was walked twice, and any
 * other in the end; and what is remembered does not grow with the chain.
 */
export function createCursorMemory(most = 2_000): CursorMemory {
  let first = '';
  let between = '';
  const last = new Set<string>();
  let clears = 0;
  let nextBetween = 1;
  return {
    add(cursor) {
      const short = hash('sha256', cursor, 'base64').slice(0, 16);
      if (short === first || short === between || last.has(short)) return false;
      if (first === '') first = short;
      if (last.size >= most) {
        last.clear();
        clears += 1;
        if (clears === nextBetween) {
          between = short;
          nextBetween *= 2;
        }
      }
      last.add(short);
      return true;
    },
  };
}
