import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

const MIB = 1024 * 1024;
/** What a process that reads much has room for between two collections of what is new. */
const YOUNG_BYTES = 4 * MIB;
/** By then a process that reads has nearly all that it needs. */
const STEADY_AFTER_MS = 3_000;
/** Far more than it takes. */
const MOST_TRIES = 2_000;

/**
 * Keeps the process small: V8 would rather let garbage of old pages lie than collect it: left alone, a first
 * read grew by another sixty MB. Collecting earlier costs a few per cent of the time. To be called before anything
 * large is loaded; the flags are V8's own, known to all Node versions that run logkeep.
 */
export function keepMemoryLow(): void {
  setFlagsFromString('--heap-growing-percent=30');
  setFlagsFromString('--semi-space-growth-factor=1');
  // What compiling a function took (megabytes) waits in a queue to be freed by whichever thread has time for it, and
  // each thread keeps of the allocator what it ever held: 5 MB on average, up to 12, by chance.
  setFlagsFromString('--no-maglev-destroy-on-background');
  // A read that lasts would take a few MB more over the next ten seconds, the longer the more; 5 to 9 % of its time
  // keep it from that.
  setTimeout(() => setFlagsFromString('--optimize-for-size'), STEADY_AFTER_MS).unref();
}

/**
 * Makes room for 4 MB of new objects instead of the one that `keepMemoryLow` leaves it at: the fewer collections there
 * are, the more of a page's objects are gone before they are copied. For commands that read a lot; takes about 15 ms.
 */
export function makeRoomForNew(): void {
  setFlagsFromString('--semi-space-growth-factor=2');
  // It grows when enough has outlived a collection, and by no other means once the process runs.
  let outliving: unknown[] = [];
  for (let tries = 0; tries < MOST_TRIES && youngBytes() < YOUNG_BYTES; tries += 1) {
    outliving.push(new Array(2_048).fill(tries));
    if (outliving.length > 200) outliving = [];
  }
  setFlagsFromString('--semi-space-growth-factor=1');
}

function youngBytes(): number {
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
  // A little of it is never available.
  return young === undefined ? YOUNG_BYTES : young.space_used_size + young.space_available_size + 65_536;
}
