import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Version of the package around this file, which lies in `src` or in `dist/src`. */
export function readVersion(): string {
  for (const up of ['..', '../..']) {
    try {
      const found: unknown = JSON.parse(readFileSync(join(import.meta.dirname, up, 'package.json'), 'utf8'));
      if (typeof found === 'object' && found !== null && 'version' in found) return String(found.version);
    } catch {
      // Not in this folder: the next one up has it.
    }
  }
  return 'unknown';
}
