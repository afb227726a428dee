import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the process small: V8 would rather let garbage of old pages lie than collect it: left alone, a first
 * read grew by another sixty MB. Collecting earlier costs a few per cent of the time. To be called before anything
 * large is loaded; the flags are V8's own, known to all Node versions that run logkeep.
 */
export function keepMemoryLow(): void {
  setFlagsFromString('--heap-growing-percent=100');
  setFlagsFromString('--semi-space-growth-factor=1');
}
