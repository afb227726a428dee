import { keepMemoryLow } from '../../src/memory.ts';

// Imported before everything else, as `main.ts` calls it before it loads anything.
keepMemoryLow();
